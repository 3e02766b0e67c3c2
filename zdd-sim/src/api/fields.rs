//! Sets of fields, in the form of `managedFields`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::schema::{ListKind, Schema, default_key};

mod difference;

pub(crate) use difference::Difference;

/// A set of fields as a tree; keys are path elements as `FieldsV1` writes them: `f:name` for a
/// field, `k:{…}` for an item by its keys, `v:…` for an item by its value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fields {
    /// The node itself is in the set, apart from what is below it.
    member: bool,
    children: BTreeMap<String, Self>,
}

impl Fields {
    fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// The fields that a value sets.
    pub(crate) fn of(schema: Schema<'_>, value: &Value, around: &str, field: &str) -> Self {
        let children: BTreeMap<String, Self> = match value {
            Value::Object(map) if !schema.is_atomic_map(field) => map
                .iter()
                .map(|(key, value)| {
                    (format!("f:{key}"), Self::of(schema.member(key), value, field, key))
                })
                .collect(),
            Value::Array(items) => items
                .iter()
                .filter_map(|item| {
                    let kind = schema.list_kind(around, field);
                    let key = element(kind, item)?;
                    let mut fields = match kind {
                        ListKind::Map(_) | ListKind::Named(_) => {
                            Self::of(schema.item(), item, around, field)
                        }
                        ListKind::Atomic | ListKind::Set => Self::default(),
                    };
                    fields.member = true;
                    Some((key, fields))
                })
                .collect(),
            Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_) => BTreeMap::new(),
        };
        Self { member: children.is_empty(), children }
    }

    /// Reads `fieldsV1`.
    pub(crate) fn parse(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let children = map.iter().filter(|(key, _)| *key != ".");
        let children = children.map(|(key, below)| {
            let mut fields = Self::parse(below);
            fields.member |= fields.children.is_empty();
            (key.clone(), fields)
        });
        Self { member: map.contains_key("."), children: children.collect() }
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, fields) in &self.children {
            let mut below = fields.to_value();
            if fields.member
                && !fields.children.is_empty()
                && let Some(below) = below.as_object_mut()
            {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(key.clone(), below);
        }
        Value::Object(map)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.member |= other.member;
        for (key, fields) in &other.children {
            match all.children.entry(key.clone()) {
                Entry::Occupied(mut own) => *own.get_mut() = own.get().union(fields),
                Entry::Vacant(place) => {
                    place.insert(fields.clone());
                }
            }
        }
        all
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let both = self.children.iter().filter_map(|(key, fields)| {
            let fields = fields.intersection(other.children.get(key)?);
            (!fields.is_empty()).then(|| (key.clone(), fields))
        });
        Self { member: self.member && other.member, children: both.collect() }
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        let rest = self.children.iter().filter_map(|(key, fields)| {
            let fields = match other.children.get(key) {
                Some(other) => fields.minus(other),
                None => fields.clone(),
            };
            (!fields.is_empty()).then(|| (key.clone(), fields))
        });
        Self { member: self.member && !other.member, children: rest.collect() }
    }

    /// The set with all nodes above its members, so that removing what is left of a difference
    /// keeps whatever holds something kept.
    pub(crate) fn with_parents(&self) -> Self {
        let children = self.children.iter().map(|(key, below)| (key.clone(), below.with_parents()));
        Self { member: true, children: children.collect() }
    }

    /// As [`Fields::with_parents`], but for the maps of the metadata: controllers write labels and
    /// annotations there that no manager stands for.
    pub(crate) fn with_named_parents(&self) -> Self {
        let mut all = self.with_parents();
        if let Some(metadata) = self.children.get("f:metadata") {
            all.children.insert("f:metadata".to_owned(), metadata.clone());
        }
        all
    }

    /// The members as paths: `.spec.template.spec.containers[name="web"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect("", &mut all);
        all
    }

    fn collect(&self, path: &str, all: &mut Vec<String>) {
        // As the server's sets do: all members of a level, then what is below them.
        for (key, _) in self.children.iter().filter(|(_, fields)| fields.member) {
            all.push(format!("{path}{}", shown(key)));
        }
        for (key, fields) in &self.children {
            fields.collect(&format!("{path}{}", shown(key)), all);
        }
    }

    /// Removes from a value what is in the set; a map or list that loses all it had goes too.
    pub(crate) fn remove_from(
        &self,
        schema: Schema<'_>,
        value: &mut Value,
        (around, field): (&str, &str),
    ) {
        match value {
            Value::Object(map) => {
                for (key, fields) in &self.children {
                    let Some(name) = key.strip_prefix("f:") else { continue };
                    let Some(below) = map.get_mut(name) else { continue };
                    // The great parts of an object stay, whatever is taken out of them.
                    let whole = fields.member && !(field.is_empty() && below.is_object());
                    fields.remove_from(schema.member(name), below, (field, name));
                    let emptied = below.as_object().is_some_and(Map::is_empty)
                        || below.as_array().is_some_and(Vec::is_empty);
                    if whole || (emptied && !field.is_empty()) {
                        map.remove(name);
                    }
                }
            }
            Value::Array(items) => {
                let kind = schema.list_kind(around, field);
                items.retain_mut(|item| {
                    let key = element(kind, item);
                    let fields = key.and_then(|key| self.children.get(&key));
                    let Some(fields) = fields else { return true };
                    if matches!(kind, ListKind::Map(_) | ListKind::Named(_)) {
                        fields.remove_from(schema.item(), item, (around, field));
                    }
                    !fields.member
                });
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// How an item of a list is told apart; `None` in lists that are one whole.
pub(crate) fn element(kind: ListKind<'_>, item: &Value) -> Option<String> {
    match kind {
        ListKind::Atomic => None,
        ListKind::Set => Some(format!("v:{item}")),
        ListKind::Map(keys) => {
            let mut map = Map::new();
            for key in keys.apply {
                let value = item.get(key).cloned();
                let value = value.or_else(|| default_key(key).map(Value::from));
                map.insert((*key).to_owned(), value?);
            }
            Some(format!("k:{}", Value::Object(map)))
        }
        ListKind::Named(keys) => {
            let keys = keys.as_array().into_iter().flatten().filter_map(Value::as_str);
            let named = keys.map(|key| Some((key.to_owned(), item.get(key)?.clone())));
            Some(format!("k:{}", Value::Object(named.collect::<Option<_>>()?)))
        }
    }
}

/// A path element as messages show it.
fn shown(key: &str) -> String {
    if let Some(name) = key.strip_prefix("f:") {
        return format!(".{name}");
    }
    if let Some(value) = key.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let keys: Map<String, Value> =
        key.strip_prefix("k:").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("[{}]", keys.join(","))
}

#[cfg(test)]
mod tests;
