//! Finds objects by owner, by label and by selector, so that the work of a
//! controller is proportional to what changed and not to the size of the cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::collection::Collection;
use crate::object::Object;
use crate::store::{Entry, Place, Store};

/// A namespace with one label of a pod, or one term of a Service's selector.
type Label = (String, String, String);

/// Kept current from the store's log; the maps are only looked up, never iterated,
/// because their order is not deterministic.
#[derive(Debug, Default)]
pub(crate) struct Index {
    by_uid: HashMap<String, (Collection, Place)>,
    owned: HashMap<String, BTreeSet<(Collection, Place)>>,
    orphans: HashMap<(Collection, String), BTreeSet<String>>,
    pods: HashMap<Label, BTreeSet<String>>,
    services: HashMap<Label, BTreeSet<String>>,
}

impl Index {
    pub(crate) fn rebuild(store: &Store) -> Self {
        let mut index = Self::default();
        for collection in store.collections() {
            for object in store.list(collection, None) {
                index.add(collection, object);
            }
        }
        index
    }

    pub(crate) fn observe(&mut self, entry: &Entry) {
        let deleted = entry.change == crate::store::Change::Deleted;
        if let Some(before) = &entry.before {
            if !deleted && same_keys(&entry.collection, before, &entry.object) {
                return;
            }
            self.remove(&entry.collection, before);
        }
        if !deleted {
            self.add(&entry.collection, &entry.object);
        }
    }

    /// Returns where the object with a uid is.
    pub(crate) fn find(&self, uid: &str) -> Option<&(Collection, Place)> {
        self.by_uid.get(uid)
    }

    /// Lists the objects of any kind that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &(Collection, Place)> {
        self.owned.get(uid).into_iter().flatten()
    }

    /// Lists the names of objects in a namespace that have no controller.
    pub(crate) fn orphans(
        &self,
        collection: &Collection,
        namespace: &str,
    ) -> impl Iterator<Item = &str> {
        let key = (collection.clone(), namespace.to_owned());
        self.orphans.get(&key).into_iter().flatten().map(String::as_str)
    }

    /// Lists the names of pods with a label.
    pub(crate) fn pods(
        &self,
        namespace: &str,
        key: &str,
        value: &str,
    ) -> impl Iterator<Item = &str> {
        self.pods.get(&label(namespace, key, value)).into_iter().flatten().map(String::as_str)
    }

    /// Lists the names of Services whose selector has this as its first term.
    pub(crate) fn services(
        &self,
        namespace: &str,
        key: &str,
        value: &str,
    ) -> impl Iterator<Item = &str> {
        self.services.get(&label(namespace, key, value)).into_iter().flatten().map(String::as_str)
    }

    fn add(&mut self, collection: &Collection, object: &Arc<Value>) {
        let place = (object.namespace().to_owned(), object.name().to_owned());
        self.by_uid.insert(object.uid().to_owned(), (collection.clone(), place.clone()));
        for owner in owners(object) {
            let entry = (collection.clone(), place.clone());
            self.owned.entry(owner.to_owned()).or_default().insert(entry);
        }
        if can_be_adopted(collection) && object.controller_uid().is_none() {
            let key = (collection.clone(), place.0.clone());
            self.orphans.entry(key).or_default().insert(place.1.clone());
        }
        for_labels(collection, object, |map, key| {
            self.map(map).entry(key).or_default().insert(place.1.clone());
        });
    }

    fn remove(&mut self, collection: &Collection, object: &Arc<Value>) {
        let place = (object.namespace().to_owned(), object.name().to_owned());
        self.by_uid.remove(object.uid());
        for owner in owners(object) {
            let entry = (collection.clone(), place.clone());
            if let Some(all) = self.owned.get_mut(owner) {
                all.remove(&entry);
                if all.is_empty() {
                    self.owned.remove(owner);
                }
            }
        }
        if can_be_adopted(collection)
            && let Some(all) = self.orphans.get_mut(&(collection.clone(), place.0.clone()))
        {
            all.remove(&place.1);
        }
        for_labels(collection, object, |map, key| {
            let map = self.map(map);
            if let Some(all) = map.get_mut(&key) {
                all.remove(&place.1);
                if all.is_empty() {
                    map.remove(&key);
                }
            }
        });
    }

    fn map(&mut self, map: Map) -> &mut HashMap<Label, BTreeSet<String>> {
        match map {
            Map::Pods => &mut self.pods,
            Map::Services => &mut self.services,
        }
    }
}

#[derive(Clone, Copy)]
enum Map {
    Pods,
    Services,
}

fn for_labels(collection: &Collection, object: &Value, mut each: impl FnMut(Map, Label)) {
    let (map, pairs, limit) = if collection == &Collection::PODS {
        (Map::Pods, &object["metadata"]["labels"], usize::MAX)
    } else if collection == &Collection::SERVICES {
        (Map::Services, &object["spec"]["selector"], 1)
    } else {
        return;
    };
    let Some(pairs) = pairs.as_object() else { return };
    for (key, value) in pairs.iter().take(limit) {
        each(map, label(object.namespace(), key, value.as_str().unwrap_or_default()));
    }
}

fn label(namespace: &str, key: &str, value: &str) -> Label {
    (namespace.to_owned(), key.to_owned(), value.to_owned())
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
}

fn can_be_adopted(collection: &Collection) -> bool {
    [Collection::PODS, Collection::REPLICA_SETS, Collection::CONTROLLER_REVISIONS]
        .contains(collection)
}

fn same_keys(collection: &Collection, old: &Value, new: &Value) -> bool {
    let (a, b) = (&old["metadata"], &new["metadata"]);
    a["ownerReferences"] == b["ownerReferences"]
        && (collection != &Collection::PODS || a["labels"] == b["labels"])
        && (collection != &Collection::SERVICES
            || old["spec"]["selector"] == new["spec"]["selector"])
}
