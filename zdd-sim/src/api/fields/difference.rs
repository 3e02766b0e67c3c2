//! What differs between two values, as two sets of fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Fields, element};
use crate::api::schema::{ListKind, Schema};

/// What differs between two objects.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Added or modified.
    pub(crate) changed: Fields,
    pub(crate) removed: Fields,
}

impl Difference {
    /// Compares two values of one field.
    pub(crate) fn between(
        schema: Schema<'_>,
        old: &Value,
        new: &Value,
        (around, field): (&str, &str),
    ) -> Self {
        let mut all = Self::default();
        if old == new {
            return all;
        }
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !schema.is_atomic_map(field) => {
                for (key, new) in new {
                    let below = old.get(key).map_or_else(
                        || Self::added(Fields::of(schema.member(key), new, field, key)),
                        |old| Self::between(schema.member(key), old, new, (field, key)),
                    );
                    all.put(format!("f:{key}"), below);
                }
                for (key, old) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                    let gone = Self::removed(Fields::of(schema.member(key), old, field, key));
                    all.put(format!("f:{key}"), gone);
                }
                all
            }
            (Value::Array(old), Value::Array(new))
                if schema.list_kind(around, field) != ListKind::Atomic =>
            {
                all.between_items(schema, (old, new), (around, field));
                all
            }
            _ => Self::added(Fields::leaf()),
        }
    }

    fn between_items(
        &mut self,
        schema: Schema<'_>,
        (old, new): (&[Value], &[Value]),
        (around, field): (&str, &str),
    ) {
        let kind = schema.list_kind(around, field);
        let by_key = |items: &[Value]| -> BTreeMap<String, Value> {
            let keyed = items.iter().filter_map(|item| Some((element(kind, item)?, item.clone())));
            keyed.collect()
        };
        let (old, new) = (by_key(old), by_key(new));
        let whole = |item: &Value| {
            let mut fields = match kind {
                ListKind::Map(_) | ListKind::Named(_) => {
                    Fields::of(schema.item(), item, around, field)
                }
                ListKind::Atomic | ListKind::Set => Fields::default(),
            };
            fields.member = true;
            fields
        };
        for (key, item) in &new {
            let below = match (old.get(key), kind) {
                (None, _) => Self::added(whole(item)),
                (Some(old), ListKind::Map(_) | ListKind::Named(_)) => {
                    Self::between(schema.item(), old, item, (around, field))
                }
                (Some(_), ListKind::Atomic | ListKind::Set) => Self::default(),
            };
            self.put(key.clone(), below);
        }
        for (key, item) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
            self.put(key.clone(), Self::removed(whole(item)));
        }
    }

    fn added(changed: Fields) -> Self {
        Self { changed, removed: Fields::default() }
    }

    fn removed(removed: Fields) -> Self {
        Self { changed: Fields::default(), removed }
    }

    fn put(&mut self, key: String, below: Self) {
        if !below.changed.is_empty() {
            self.changed.children.insert(key.clone(), below.changed);
        }
        if !below.removed.is_empty() {
            self.removed.children.insert(key, below.removed);
        }
    }
}
