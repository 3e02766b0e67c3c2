//! The rules of writes: generations, what keeps a deleted object and how long, what a writer may
//! have seen.

use serde_json::Value;

use super::{Deletion, Propagation, StoreError};
use crate::collection::Collection;
use crate::object::Object;

/// What is empty in metadata is not written, as by Go's `omitempty`.
pub(super) fn drop_empty(metadata: &mut Value) {
    let Some(map) = metadata.as_object_mut() else { return };
    for key in ["annotations", "finalizers", "labels", "ownerReferences"] {
        let empty = map.get(key).is_some_and(|value| match value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
        });
        if empty {
            map.remove(key);
        }
    }
}

/// Some older kinds have a spec and count no generations of it.
pub(super) fn has_generation(collection: &Collection) -> bool {
    !matches!(
        collection.as_str(),
        "leases.coordination.k8s.io"
            | "limitranges"
            | "namespaces"
            | "nodes"
            | "persistentvolumeclaims"
            | "resourcequotas"
            | "services"
    )
}

pub(super) fn is_slice(collection: &Collection) -> bool {
    collection == &Collection::ENDPOINT_SLICES
}

/// Deployments count annotation changes too (pkg/registry/apps/deployment/strategy.go).
pub(super) fn counts_generation(collection: &Collection, new: &Value, old: &Value) -> bool {
    if is_slice(collection) {
        // pkg/registry/discovery/endpointslice/strategy.go
        let differs = |key: &str| new.get(key) != old.get(key);
        return differs("endpoints")
            || differs("ports")
            || new["metadata"].get("labels") != old["metadata"].get("labels");
    }
    new.get("spec") != old.get("spec")
        || (collection == &Collection::DEPLOYMENTS
            && new["metadata"].get("annotations") != old["metadata"].get("annotations"))
}

/// Tells whether something has to be done before a deleted object can go.
pub(super) fn is_held(collection: &Collection, object: &Value) -> bool {
    finalizers_of(object).next().is_some() || is_held_in_spec(collection, object)
}

/// Namespaces have finalizers in their spec: they go when they are empty.
pub(super) fn is_held_in_spec(collection: &Collection, object: &Value) -> bool {
    collection == &Collection::NAMESPACES
        && object["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

pub(super) fn finalizers_of(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten()
}

/// The finalizers after a deletion was asked for: those of the garbage collector follow the
/// newest wish, the others stay.
pub(super) fn finalizers_for(object: &Value, propagation: Propagation) -> Vec<Value> {
    let ours = [Propagation::Foreground, Propagation::Orphan].map(Propagation::finalizer);
    let others = finalizers_of(object).filter(|text| !ours.contains(&text.as_str()));
    others.cloned().chain(propagation.finalizer().map(Value::from)).collect()
}

/// A pod that no node has taken, or that has ended, goes at once.
pub(super) fn grace(collection: &Collection, pod: &Value, deletion: &Deletion) -> i64 {
    if collection != &Collection::PODS {
        return 0;
    }
    let ended = matches!(pod.text("/status/phase"), Some("Failed" | "Succeeded"));
    if pod.text("/spec/nodeName").is_none() || ended {
        return 0;
    }
    let own = pod.int("/spec/terminationGracePeriodSeconds").unwrap_or(30);
    deletion.grace_seconds.unwrap_or(own).max(0)
}

/// Refuses a write for an object that is not the one, or not as old, as the writer says.
pub(super) fn check(
    collection: &Collection,
    old: &Value,
    uid: Option<&str>,
    revision: Option<u64>,
) -> Result<(), StoreError> {
    if let Some(wanted) = uid
        && wanted != old.uid()
    {
        return Err(StoreError::UidMismatch {
            collection: collection.clone(),
            namespace: old.namespace().to_owned(),
            name: old.name().to_owned(),
            wanted: wanted.to_owned(),
            found: old.uid().to_owned(),
        });
    }
    if revision.is_some_and(|seen| seen != old.revision()) {
        return Err(StoreError::Conflict {
            collection: collection.clone(),
            name: old.name().to_owned(),
        });
    }
    Ok(())
}

/// Copies a key from the old object, or removes it where the old one has none.
pub(super) fn keep(object: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => object[key] = value.clone(),
        None => {
            if let Some(map) = object.as_object_mut() {
                map.remove(key);
            }
        }
    }
}
