//! I5: what two runs must have in common, whatever happened in between.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::collection::Collection;
use crate::controller::meta::remove;
use crate::object::Object;
use crate::store::{Change, Store};

/// How many objects of each collection were created and deleted: a repeated or a lost effect
/// shows here also when the end state hides it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Creations per collection.
    pub created: BTreeMap<Collection, usize>,
    /// Deletions per collection.
    pub deleted: BTreeMap<Collection, usize>,
}

impl Summary {
    /// Counts the writes after a revision, by all actors or by those whose name starts with
    /// `agent`; `None` when the log no longer reaches back so far.
    #[must_use]
    pub fn since(store: &Store, revision: u64, agent: Option<&str>) -> Option<Self> {
        let mut summary = Self::default();
        for entry in store.since(revision)? {
            if agent.is_some_and(|agent| !entry.actor.starts_with(agent)) {
                continue;
            }
            let counts = match entry.change {
                Change::Added => &mut summary.created,
                Change::Deleted => &mut summary.deleted,
                Change::Modified => continue,
            };
            *counts.entry(entry.collection.clone()).or_default() += 1;
        }
        Some(summary)
    }

    /// Leaves a collection out: Events, or Leases that each process takes anew.
    #[must_use]
    pub fn without(mut self, collection: &Collection) -> Self {
        self.created.remove(collection);
        self.deleted.remove(collection);
        self
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, counts) in [("created", &self.created), ("deleted", &self.deleted)] {
            for (collection, count) in counts {
                writeln!(f, "{word} {count} {collection}")?;
            }
        }
        Ok(())
    }
}

/// Collections whose objects tell how a run went and not what it led to.
const PASSING: [Collection; 2] = [Collection::EVENTS, Collection::LEASES];

/// The objects of a cluster without what differs between two runs that did the same: uids,
/// revisions, generations, times, addresses, generated parts of names.
///
/// Two runs are compared with `==`, and printed to see the difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndState(BTreeMap<String, Vec<Value>>);

impl EndState {
    /// Reads the store, all but Events and Leases, without the pods that are on their way out.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let mut state = BTreeMap::<String, Vec<Value>>::new();
        let collections = store.collections().filter(|each| !PASSING.contains(each));
        for collection in collections {
            for object in store.list(collection, None).filter(|object| !object.is_terminating()) {
                let mut normal = (**object).clone();
                normalise(&mut normal);
                let place = format!("{collection} {}/{}", object.namespace(), normal.name());
                state.entry(place).or_default().push(normal);
            }
        }
        for objects in state.values_mut() {
            objects.sort_by_cached_key(Value::to_string);
        }
        Self(state)
    }

    /// Leaves a collection out.
    #[must_use]
    pub fn without(mut self, collection: &Collection) -> Self {
        let prefix = format!("{collection} ");
        self.0.retain(|place, _| !place.starts_with(&prefix));
        self
    }

    /// Leaves out the value at an RFC 6901 pointer in all objects of a collection.
    #[must_use]
    pub fn without_field(mut self, collection: &Collection, pointer: &str) -> Self {
        let prefix = format!("{collection} ");
        let own = self.0.iter_mut().filter(|(place, _)| place.starts_with(&prefix));
        for object in own.flat_map(|(_, objects)| objects) {
            if let Some((parent, key)) = pointer.rsplit_once('/')
                && let Some(parent) = object.pointer_mut(parent)
            {
                remove(parent, &key.replace("~1", "/").replace("~0", "~"));
            }
        }
        self
    }
}

impl fmt::Display for EndState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, objects) in &self.0 {
            for object in objects {
                writeln!(f, "{place} {object}")?;
            }
        }
        Ok(())
    }
}

/// Keys that hold times, identities or addresses wherever they occur.
const VOLATILE: [&str; 22] = [
    "acquireTime",
    "addresses",
    "creationTimestamp",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "finishedAt",
    "generation",
    "hostIP",
    "hostIPs",
    "lastHeartbeatTime",
    "lastProbeTime",
    "lastTransitionTime",
    "lastUpdateTime",
    "managedFields",
    "nodeName",
    "observedGeneration",
    "podIP",
    "podIPs",
    "renewTime",
    "resourceVersion",
    "startTime",
    "startedAt",
    "uid",
];

fn normalise(object: &mut Value) {
    if let Some(base) = object.text("/metadata/generateName").map(str::to_owned) {
        object["metadata"]["name"] = format!("{base}*").into();
    }
    strip(object);
    // Endpoints and their pods come in the order in which they were ready.
    if let Some(endpoints) = object["endpoints"].as_array_mut() {
        for endpoint in endpoints.iter_mut() {
            if let Some(target) = endpoint["targetRef"].as_object_mut() {
                target.remove("name");
            }
        }
        endpoints.sort_by_cached_key(Value::to_string);
    }
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut)
    {
        conditions.sort_by_cached_key(Value::to_string);
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(map) => {
            map.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}
