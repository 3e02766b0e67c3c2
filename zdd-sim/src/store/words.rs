//! The words in which writes are asked for and told.

use std::sync::Arc;

use serde_json::Value;

use crate::collection::Collection;

/// An object's place in its collection: namespace (empty when cluster-scoped) and name.
pub type Place = (String, String);

/// What happened to an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by the watch protocol")]
pub enum Change {
    /// The object came into being.
    Added,
    /// The object was removed from the store.
    Deleted,
    /// The object was written.
    Modified,
}

/// One entry of the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The global revision of this write.
    pub revision: u64,
    /// What happened.
    pub change: Change,
    /// Where the object lives.
    pub collection: Collection,
    /// The object after the write; for [`Change::Deleted`] its last state, with the new revision.
    pub object: Arc<Value>,
    /// The object before the write, when there was one.
    pub before: Option<Arc<Value>>,
    /// Who wrote: a user agent of the API, or the name of a controller.
    pub actor: Arc<str>,
}

/// What must hold for a deletion, and how it is done.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Deletion {
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resourceVersion that the object must have.
    pub revision: Option<u64>,
    /// Seconds of grace; `None` takes the pod's own (30 without one). Only pods have grace.
    pub grace_seconds: Option<i64>,
    /// What happens to the objects that name this one as their owner.
    pub propagation: Propagation,
}

/// What a deletion means for the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by the deletion protocol")]
pub enum Propagation {
    /// The owner goes at once, the garbage collector removes its dependents later.
    #[default]
    Background,
    /// The owner stays, with a finalizer, until its dependents are gone.
    Foreground,
    /// The garbage collector frees the dependents before the owner goes.
    Orphan,
}

impl Propagation {
    /// Returns the finalizer that tells the garbage collector what to do first.
    #[must_use]
    pub fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two halves of an object")]
pub enum Part {
    /// Everything but the status: a changed spec counts a new generation.
    Main,
    /// The status alone, and metadata other than labels and generation.
    Status,
}
