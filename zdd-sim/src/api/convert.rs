//! Converts between the stored form of an object and the version in which it is served.
//!
//! Only events are served in two forms: the core group's, which is stored, and that of
//! `events.k8s.io`, which renames fields.

use std::sync::Arc;

use serde_json::{Value, json};

use super::resource::Resource;
use crate::collection::Collection;

/// Core name, name in `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// Returns the object as this resource serves it.
pub(crate) fn present(resource: &Resource, object: &Arc<Value>) -> Arc<Value> {
    if resource.group() != "events.k8s.io" {
        return Arc::clone(object);
    }
    let mut event = (**object).clone();
    rename(&mut event, RENAMED.iter().copied());
    Arc::new(event)
}

/// Returns the object as answers show it: with the fields that Go writes even when they are empty.
pub(crate) fn served(resource: &Resource, object: &Arc<Value>) -> Arc<Value> {
    if resource.collection() != &Collection::EVENTS {
        return Arc::clone(object);
    }
    let mut event = Arc::unwrap_or_clone(present(resource, object));
    let empty: Vec<(&str, Value)> = if resource.group().is_empty() {
        vec![
            ("eventTime", Value::Null),
            ("firstTimestamp", Value::Null),
            ("lastTimestamp", Value::Null),
            ("reportingComponent", json!("")),
            ("reportingInstance", json!("")),
            ("source", json!({})),
        ]
    } else {
        vec![
            ("deprecatedFirstTimestamp", Value::Null),
            ("deprecatedLastTimestamp", Value::Null),
            ("deprecatedSource", json!({})),
            ("eventTime", Value::Null),
        ]
    };
    for (key, value) in empty {
        if event.get(key).is_none() {
            event[key] = value;
        }
    }
    Arc::new(event)
}

/// Turns an object of this resource into the stored form.
pub(crate) fn absorb(resource: &Resource, object: &mut Value) {
    if resource.group() == "events.k8s.io" {
        rename(object, RENAMED.iter().map(|&(core, new)| (new, core)));
        object["apiVersion"] = json!("v1");
    }
}

fn rename<'a>(object: &mut Value, names: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}
