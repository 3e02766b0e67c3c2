//! Tracks which client manages which fields, in `metadata.managedFields`.

use std::cmp::Reverse;

use serde_json::{Map, Value, json};

use super::fields::{Difference, Fields};
use super::request::Call;
use super::schema::Schema;

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

/// How a manager writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who manages the fields that a request writes, and when.
#[derive(Clone, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) call: &'a Call,
    pub(crate) manager: &'a str,
    pub(crate) time: String,
}

const SYSTEM: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "uid",
];

/// The part of an object that a request can own: without type, identity and what only the server
/// writes, and either without the status or little else than it.
pub(crate) fn owned_part(call: &Call, object: &Value) -> Value {
    let status = call.subresource.as_deref() == Some("status");
    let mut part = Map::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let skip = match key.as_str() {
            "apiVersion" | "kind" => true,
            "status" => !status && call.resource.has_status(),
            "spec" => status,
            _ => false,
        };
        if !skip {
            part.insert(key.clone(), value.clone());
        }
    }
    if let Some(Value::Object(metadata)) = part.get_mut("metadata") {
        metadata.retain(|key, _| {
            !(SYSTEM.contains(&key.as_str())
                || key == "generateName"
                || (status && key == "labels"))
        });
        if metadata.is_empty() {
            part.remove("metadata");
        }
    }
    Value::Object(part)
}

impl Writer<'_> {
    pub(crate) fn schema(&self) -> Schema<'_> {
        Schema::of(&self.call.resource)
    }

    /// Makes the entry of this request.
    pub(crate) fn entry(&self, operation: Operation, fields: Fields) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            operation,
            subresource: self.call.subresource.clone().unwrap_or_default(),
            api_version: self.call.resource.api_version().into_owned(),
            time: self.time.clone(),
            fields,
        }
    }

    /// The fields of a new object are managed by who created it.
    pub(crate) fn on_create(&self, object: &mut Value) {
        let fields = Fields::of(self.schema(), &owned_part(self.call, object), "", "");
        write(object, vec![self.entry(Operation::Update, fields)]);
    }

    /// A changed field is managed by who changed it, and by no one else.
    pub(crate) fn on_update(&self, old: &Value, object: &mut Value) {
        let cleared = match object["metadata"]["managedFields"].as_array() {
            Some(entries) => entries.iter().all(|entry| *entry == json!({})),
            None => false,
        };
        let mut managers = read(old);
        if cleared || managers.is_empty() {
            // Objects that nobody applies, such as those of controllers, are not tracked.
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
            return;
        }
        let (before, after) = (owned_part(self.call, old), owned_part(self.call, object));
        let found = Difference::between(self.schema(), &before, &after, ("", ""));
        if !(found.changed.is_empty() && found.removed.is_empty()) {
            let gone = found.changed.union(&found.removed);
            let own = self.entry(Operation::Update, found.changed.clone());
            let mine = managers.iter().position(|other| own.is_same(other));
            let kept = mine.map(|at| managers.remove(at).fields).unwrap_or_default();
            for other in &mut managers {
                other.fields = other.fields.minus(&gone);
            }
            let fields = kept.union(&found.changed).minus(&found.removed);
            managers.push(Manager { fields, ..own });
        }
        write(object, managers);
    }
}

impl Manager {
    /// Entries are one when who, how, through what and in which version agree.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && self.api_version == other.api_version
    }
}

/// Reads the entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Manager> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    entries
        .map(|entry| Manager {
            name: text(entry, "manager"),
            operation: if entry["operation"] == "Apply" {
                Operation::Apply
            } else {
                Operation::Update
            },
            subresource: text(entry, "subresource"),
            api_version: text(entry, "apiVersion"),
            time: text(entry, "time"),
            fields: Fields::parse(&entry["fieldsV1"]),
        })
        .collect()
}

/// Writes the entries in the server's order: applied ones first, then by time and name. Entries
/// without fields vanish.
pub(crate) fn write(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by_key(|it| {
        let applied = Reverse(it.operation == Operation::Apply);
        (applied, it.time.clone(), it.name.clone(), it.subresource.clone())
    });
    let entries = managers.iter().map(|manager| {
        let mut entry = json!({
            "manager": manager.name,
            "operation": match manager.operation {
                Operation::Apply => "Apply",
                Operation::Update => "Update",
            },
            "apiVersion": manager.api_version,
            "time": manager.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": manager.fields.to_value(),
        });
        if !manager.subresource.is_empty() {
            entry["subresource"] = manager.subresource.as_str().into();
        }
        entry
    });
    object["metadata"]["managedFields"] = Value::Array(entries.collect());
}
