//! I9: an actor changes only what it owns.

use serde_json::Value;

use super::{Invariant, Moment};
use crate::collection::Collection;
use crate::object::Object;
use crate::store::Change;

/// What the server changes with any write.
const BOOKKEEPING: [&str; 4] = [
    "/metadata/resourceVersion",
    "/metadata/generation",
    "/metadata/managedFields",
    // The server counts the templates of a DaemonSet there.
    "/metadata/annotations/deprecated.daemonset.template.generation",
];

/// Requires that the writes of one actor change nothing but the fields that it owns, and create
/// and delete nothing but what it may.
///
/// The rule is about the values before and after: a field that is written with the value that it
/// had is not changed.
#[derive(Debug)]
pub struct OwnedFields {
    agent: String,
    fields: Vec<(Collection, String)>,
    whole: Vec<Collection>,
}

impl OwnedFields {
    /// Watches the actors whose name starts with `agent`: a user agent, or a controller's name.
    #[must_use]
    pub fn of(agent: impl Into<String>) -> Self {
        Self { agent: agent.into(), fields: Vec::new(), whole: Vec::new() }
    }

    /// Allows changes at an RFC 6901 pointer and below it, in all objects of a collection.
    #[must_use]
    pub fn field(mut self, collection: Collection, pointer: impl Into<String>) -> Self {
        self.fields.push((collection, pointer.into()));
        self
    }

    /// Allows everything in a collection, also to create and to delete.
    #[must_use]
    pub fn all_of(mut self, collection: Collection) -> Self {
        self.whole.push(collection);
        self
    }

    fn is_owned(&self, collection: &Collection, pointer: &str) -> bool {
        let covers = |owner: &str| {
            pointer.strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        BOOKKEEPING.iter().any(|owner| covers(owner))
            || self.fields.iter().any(|(kind, owner)| kind == collection && covers(owner))
    }
}

impl Invariant for OwnedFields {
    fn name(&self) -> &'static str {
        "I9 owned fields"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(write) = moment.write else { return Ok(()) };
        if !write.actor.starts_with(&self.agent) || self.whole.contains(&write.collection) {
            return Ok(());
        }
        let (collection, object) = (&write.collection, &write.object);
        let name = || format!("{collection} {}/{}", object.namespace(), object.name());
        match (write.change, &write.before) {
            (Change::Added, _) => Err(format!("{} created {}", write.actor, name())),
            (Change::Deleted, _) => Err(format!("{} deleted {}", write.actor, name())),
            (Change::Modified, None) => Ok(()),
            (Change::Modified, Some(before)) => {
                let mut changed = Vec::new();
                differences(before, object, &mut String::new(), &mut changed);
                changed.retain(|pointer| !self.is_owned(collection, pointer));
                if changed.is_empty() {
                    return Ok(());
                }
                Err(format!("{} changed {} of {}", write.actor, changed.join(", "), name()))
            }
        }
    }
}

/// Collects the pointers of the leaves that differ.
fn differences(a: &Value, b: &Value, at: &mut String, found: &mut Vec<String>) {
    if a == b {
        return;
    }
    let length = at.len();
    match (a, b) {
        (Value::Object(left), Value::Object(right)) => {
            let added = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(added) {
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                differences(&a[key], &b[key], at, found);
                at.truncate(length);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                at.push('/');
                at.push_str(&index.to_string());
                differences(left, right, at, found);
                at.truncate(length);
            }
        }
        _ => found.push(at.clone()),
    }
}
