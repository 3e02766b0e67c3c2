//! Paths into JSON, and JSON as lines of `path: value`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// A path such as `status.conditions[Ready].status` or `metadata.labels[a.b/c]`.
///
/// In a list, brackets hold a position or the `type` or `name` of an element, or `*` for each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Path(Vec<Key>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Key {
    /// After a dot.
    Plain(String),
    /// In brackets.
    Bracket(String),
}

impl Path {
    pub(crate) fn parse(text: &str) -> Self {
        let mut keys = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                // A key of managed fields holds brackets of its own in none of the scripts.
                let (key, tail) = inner.split_once(']').unwrap_or((inner, ""));
                keys.push(Key::Bracket(key.to_owned()));
                rest = tail;
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                keys.push(Key::Plain(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        Self(keys)
    }

    /// Returns the paths that it stands for: `[*]` is each element of a list.
    pub(crate) fn each(&self, value: &Value) -> Vec<Self> {
        let star = Key::Bracket("*".to_owned());
        let Some(at) = self.0.iter().position(|key| *key == star) else {
            return vec![self.clone()];
        };
        let list = Self(self.0[..at].to_vec());
        let count = list.find(value).and_then(Value::as_array).map_or(0, Vec::len);
        let nth = |index: usize| {
            let mut keys = self.0.clone();
            keys[at] = Key::Bracket(index.to_string());
            Self(keys).each(value)
        };
        (0..count).flat_map(nth).collect()
    }

    /// Returns what lies there.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, key| {
            let (Key::Plain(key) | Key::Bracket(key)) = key;
            match value {
                Value::Object(map) => map.get(key),
                Value::Array(list) => match key.parse::<usize>() {
                    Ok(index) => list.get(index),
                    Err(_) => list.iter().find(|item| {
                        ["type", "name"].iter().any(|at| item[*at].as_str() == Some(key.as_str()))
                    }),
                },
                Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => None,
            }
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            match key {
                Key::Plain(key) if index == 0 => f.write_str(key)?,
                Key::Plain(key) => write!(f, ".{key}")?,
                Key::Bracket(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// Writes a value as one line per leaf.
///
/// Conditions are named by their type and sorted: their order says nothing.
pub(crate) fn flatten(prefix: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            for key in keys {
                flatten(&join(prefix, key), &map[key], lines);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let types: Option<BTreeSet<_>> =
                list.iter().map(|item| item["type"].as_str()).collect();
            match types.filter(|types| types.len() == list.len()) {
                Some(types) => {
                    for name in types {
                        let item = list.iter().find(|item| item["type"].as_str() == Some(name));
                        let at = format!("{prefix}[{name}]");
                        flatten(&at, item.unwrap_or(&Value::Null), lines);
                    }
                }
                None => {
                    for (index, item) in list.iter().enumerate() {
                        flatten(&format!("{prefix}[{index}]"), item, lines);
                    }
                }
            }
        }
        Value::Array(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Number(_)
        | Value::Object(_)
        | Value::String(_) => lines.push(format!("{prefix}: {value}")),
    }
}

fn join(prefix: &str, key: &str) -> String {
    let plain = !key.contains(['.', '[', '/', ' ']);
    match (prefix.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{prefix}.{key}"),
        (_, false) => format!("{prefix}[{key}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Path, flatten};

    #[test]
    fn paths_lead_through_maps_lists_and_conditions() {
        let value = json!({
            "metadata": {"labels": {"a.b/c": "1"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "list": [5, 6]},
        });
        let find = |path: &str| Path::parse(path).find(&value).cloned();
        assert_eq!(find("metadata.labels[a.b/c]"), Some(json!("1")));
        assert_eq!(find("status.conditions[Ready].status"), Some(json!("True")));
        assert_eq!(find("status.list[1]"), Some(json!(6)));
        assert_eq!(find("status.none"), None);
        assert_eq!(Path::parse("metadata.labels[a.b/c]").to_string(), "metadata.labels[a.b/c]");
    }

    #[test]
    fn conditions_are_sorted_by_type() {
        let mut lines = Vec::new();
        let value = json!({"c": [{"type": "B", "x": 1}, {"type": "A", "y": {}}], "k/l": []});
        flatten("", &value, &mut lines);
        assert_eq!(
            lines,
            ["c[A].type: \"A\"", "c[A].y: {}", "c[B].type: \"B\"", "c[B].x: 1", "[k/l]: []"]
        );
    }
}
