//! Why the store refuses writes.

use thiserror::Error;

use crate::collection::Collection;

/// Why the store refused a write.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum StoreError {
    /// The name is taken.
    #[error("{collection} \"{name}\" already exists")]
    AlreadyExists {
        /// The collection.
        collection: Collection,
        /// The object's name.
        name: String,
    },
    /// The object has another resourceVersion than the writer saw.
    #[error(
        "the object has been modified; please apply your changes to the latest version and try again"
    )]
    Conflict {
        /// The collection.
        collection: Collection,
        /// The object's name.
        name: String,
    },
    /// There is no such object.
    #[error("{collection} \"{name}\" not found")]
    NotFound {
        /// The collection.
        collection: Collection,
        /// The object's name.
        name: String,
    },
    /// The object has another uid than the writer named.
    #[error("precondition failed: uid in precondition: {wanted}, uid in object meta: {found}")]
    UidMismatch {
        /// The collection.
        collection: Collection,
        /// The object's namespace.
        namespace: String,
        /// The object's name.
        name: String,
        /// The uid that the writer named.
        wanted: String,
        /// The uid of the object.
        found: String,
    },
}
