//! Templates that are only compared are kept as a number: a history of ten large ones per watched
//! workload would be most of a driver's memory.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zdd_core::Template;

use super::normalized;

/// Stands for a template: equal templates have equal fingerprints, and no two others are likely
/// to. Not stored anywhere: another build may compute another number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(template: &Template) -> Self {
        let mut hasher = DefaultHasher::new();
        feed(template.as_value(), &mut hasher);
        Self(hasher.finish())
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    /// Reads a template, and keeps its fingerprint alone.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Value::deserialize(deserializer).map(normalized)?;
        Ok(Self::of(&template))
    }
}

fn feed(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(it) => it.hash(hasher),
        Value::Number(it) => it.hash(hasher),
        Value::String(it) => it.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            for item in items {
                feed(item, hasher);
            }
        }
        Value::Object(fields) => {
            fields.len().hash(hasher);
            // Whether maps keep the order of the text depends on features of other crates.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in fields {
                key.hash(hasher);
                feed(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_templates_that_give_the_same_pods_have_the_same_fingerprint() {
        let of = |value: Value| serde_json::from_value::<Fingerprint>(value).unwrap();
        let web =
            of(json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "a": [1, "2"] } }));
        let added = json!({ "app": "web", "pod-template-hash": "5d8f9c" });
        let metadata = json!({ "creationTimestamp": null, "labels": added });
        assert_eq!(web, of(json!({ "spec": { "a": [1, "2"] }, "metadata": metadata })));
        for other in [
            json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "a": [1, 2] } }),
            json!({ "metadata": { "labels": { "app": "wob" } }, "spec": { "a": [1, "2"] } }),
            json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "a": [[1], "2"] } }),
        ] {
            assert_ne!(web, of(other));
        }
    }
}
