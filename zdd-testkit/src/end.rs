//! What a run came to, without what is free to differ: names, uids, versions, times.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zdd_sim::{Change, Collection, Entry, Object, Store};

/// The end state of a cluster, comparable between runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct End(BTreeMap<String, Value>);

impl End {
    /// Reads the parts of the store that a rollout is about.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let mut parts = BTreeMap::new();
        for collection in
            [Collection::DEPLOYMENTS, Collection::STATEFUL_SETS, Collection::DAEMON_SETS]
        {
            for object in store.list(&collection, None) {
                parts.insert(format!("{collection}/{}", object.name()), workload(object));
            }
        }
        for object in store.list(&Collection::SERVICES, None) {
            parts.insert(format!("services/{}", object.name()), object["spec"]["selector"].clone());
        }
        let mut pods: BTreeMap<String, u32> = BTreeMap::new();
        for pod in store.list(&Collection::PODS, None) {
            let image = pod.text("/spec/containers/0/image").unwrap_or_default();
            let state = if pod.is_terminating() { "terminating" } else { "up" };
            *pods.entry(format!("{image} {state}")).or_default() += 1;
        }
        parts.insert("pods".to_owned(), json!(pods));
        let mut sets: BTreeMap<String, i64> = BTreeMap::new();
        for set in store.list(&Collection::REPLICA_SETS, None) {
            let image = set.text("/spec/template/spec/containers/0/image").unwrap_or_default();
            *sets.entry(image.to_owned()).or_default() += set.int("/spec/replicas").unwrap_or(0);
        }
        parts.insert("replicasets".to_owned(), json!(sets));
        Self(parts)
    }

    /// Says in which parts two ends differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let keys = self.0.keys().chain(other.0.keys());
        let differing = keys.filter(|key| self.0.get(*key) != other.0.get(*key));
        let show =
            |end: &Self, key: &str| end.0.get(key).map_or("nothing".into(), Value::to_string);
        let mut lines: Vec<String> = differing
            .map(|key| format!("{key}: {} instead of {}", show(self, key), show(other, key)))
            .collect();
        lines.dedup();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// The desired state and the marks of the engine; the status follows from it.
fn workload(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if let Some(annotations) = spec.pointer_mut("/template/metadata/annotations") {
        annotations.take();
    }
    json!({ "spec": spec })
}

/// How often objects of each collection came into being and went away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes(BTreeMap<String, (u64, u64)>);

impl Changes {
    /// Counts in a log. Events and Leases are left out: they follow time and luck.
    pub fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut changes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let ignored =
            [Collection::EVENTS, Collection::LEASES, Collection::new("events.events.k8s.io")];
        for entry in entries.filter(|entry| !ignored.contains(&entry.collection)) {
            let (created, deleted) = changes.entry(entry.collection.to_string()).or_default();
            match entry.change {
                Change::Added => *created += 1,
                Change::Deleted => *deleted += 1,
                Change::Modified => {}
            }
        }
        changes.retain(|_, count| *count != (0, 0));
        Self(changes)
    }
}
