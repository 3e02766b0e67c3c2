//! Replaces what is free to differ between two runs by names that are not.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels whose values are hashes.
const HASHES: [&str; 3] =
    ["pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash"];

/// What was seen so far in a run, and what it is called.
///
/// The same thing has the same name throughout a run: `<uid 1>` is the first object whose uid was
/// shown, so that identity is compared though uids are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    known: BTreeMap<String, String>,
    versions: BTreeMap<String, usize>,
    uids: usize,
    hashes: usize,
}

impl Names {
    /// Gives a text that is chosen anew in each run a name.
    pub(crate) fn set(&mut self, text: impl Into<String>, name: impl Into<String>) {
        self.known.entry(text.into()).or_insert_with(|| name.into());
    }

    /// Learns the names that are in an answer.
    pub(crate) fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::Object(labels)) = map.get("labels") {
                    for hash in HASHES.iter().filter_map(|label| labels.get(*label)?.as_str()) {
                        if !self.known.contains_key(hash) {
                            self.hashes += 1;
                            self.set(hash, format!("<hash {}>", self.hashes));
                        }
                    }
                }
                if map.contains_key("involvedObject") || map.contains_key("regarding") {
                    self.learn_event(&map["metadata"]);
                }
                if let (Some(name), Some(uid)) = (map.get("name"), map.get("uid")) {
                    self.learn_object(map, name, uid);
                }
                for (key, value) in map {
                    self.learn_hash(key, value);
                    self.learn(value);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.learn(value)),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Learns the hash at the end of a name that stands in a status.
    fn learn_hash(&mut self, key: &str, value: &Value) {
        let Some(text) = value.as_str() else { return };
        let name = match key {
            "currentRevision" | "updateRevision" => Some(text),
            "message" => text.strip_prefix("ReplicaSet \"").and_then(|rest| rest.split('"').next()),
            _ => None,
        };
        let Some((_, hash)) = name.and_then(|name| name.rsplit_once('-')) else { return };
        if !self.known.contains_key(hash) {
            self.hashes += 1;
            self.set(hash, format!("<hash {}>", self.hashes));
        }
    }

    /// The name of an Event is that of its object, and the time in digits.
    fn learn_event(&mut self, metadata: &Value) {
        let name = metadata["name"].as_str().and_then(|name| name.rsplit_once('.'));
        if let Some((_, random)) = name.filter(|(_, random)| random.len() >= 5) {
            self.set(random, "<any>");
        }
    }

    /// Learns from metadata, or from a reference to an object.
    fn learn_object(&mut self, map: &serde_json::Map<String, Value>, name: &Value, uid: &Value) {
        let (Some(name), Some(uid)) = (name.as_str(), uid.as_str()) else { return };
        if let Some(prefix) = map.get("generateName").and_then(Value::as_str) {
            // The pods of a StatefulSet are numbered: nothing about them is random.
            if name.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 5) {
                let prefix = self.text(prefix);
                self.set(name, format!("{prefix}<any>"));
                self.set(uid, "<uid>");
            }
        } else if map.contains_key("creationTimestamp") && !self.known.contains_key(uid) {
            self.uids += 1;
            self.set(uid, format!("<uid {}>", self.uids));
        }
    }

    /// Replaces everything in an answer.
    pub(crate) fn value(&mut self, value: &Value) -> Value {
        self.entry("", value)
    }

    fn entry(&mut self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let list = map.contains_key("items");
                let generated = map.contains_key("generateName");
                let entries = map.iter().map(|(key, value)| {
                    let value = match key.as_str() {
                        "metadata" if list => list_metadata(value),
                        "resourceVersion" if generated => "<rv>".into(),
                        _ => self.entry(key, value),
                    };
                    (self.text(key), value)
                });
                Value::Object(entries.collect())
            }
            Value::Array(list) => list.iter().map(|value| self.entry(key, value)).collect(),
            Value::String(text) => self.string(key, text).into(),
            Value::Number(_) if key == "nodePort" || key == "healthCheckNodePort" => {
                "<port>".into()
            }
            Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
        }
    }

    fn string(&mut self, key: &str, text: &str) -> String {
        match key {
            "resourceVersion" if text.parse::<u64>().is_ok() => {
                let next = self.versions.len() + 1;
                let number = *self.versions.entry(text.to_owned()).or_insert(next);
                format!("<rv {number}>")
            }
            "clusterIP" | "clusterIPs" if text != "None" && !text.is_empty() => "<ip>".to_owned(),
            "message" => hide_versions(&self.text(text)),
            _ if is_time(text) => "<time>".to_owned(),
            _ => self.text(text),
        }
    }

    /// Replaces what is known in a text; longest first, and whole words only.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        let mut text = text.to_owned();
        for (word, name) in known {
            text = replace_word(&text, word, name);
        }
        hide_uids(&hide_times(&text))
    }
}

/// The revision of a list is that of the whole cluster; its token is the server's own.
fn list_metadata(metadata: &Value) -> Value {
    let mut metadata = metadata.clone();
    for (key, name) in [("resourceVersion", "<rv>"), ("continue", "<token>")] {
        if metadata[key].as_str().is_some_and(|text| !text.is_empty()) {
            metadata[key] = name.into();
        }
    }
    metadata
}

fn replace_word(text: &str, word: &str, name: &str) -> String {
    let is_edge = |char: Option<char>| char.is_none_or(|char| !char.is_ascii_alphanumeric());
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let end = at + word.len();
        out += &rest[..at];
        let whole = is_edge(out.chars().next_back()) && is_edge(rest[end..].chars().next());
        out += if whole { name } else { word };
        rest = &rest[end..];
    }
    out + rest
}

fn is_time(text: &str) -> bool {
    shape(text).starts_with("0000-00-00T00:00:00") && text.ends_with('Z')
}

fn shape(text: &str) -> String {
    text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect()
}

/// Replaces times in the middle of a text.
fn hide_times(text: &str) -> String {
    hide(text, |tail| {
        let whole = shape(tail).starts_with("0000-00-00T00:00:00");
        whole.then(|| tail.find('Z').map(|end| (end + 1, "<time>"))).flatten()
    })
}

/// Replaces uids that belong to no object that was seen.
fn hide_uids(text: &str) -> String {
    hide(text, |tail| {
        let uid = tail.get(..36)?;
        let right = uid.char_indices().all(|(index, char)| match index {
            8 | 13 | 18 | 23 => char == '-',
            _ => char.is_ascii_hexdigit(),
        });
        // The uids that scripts make up begin with zeros, and are meant to be seen.
        (right && !uid.starts_with("00000000")).then_some((36, "<uid>"))
    })
}

fn hide(text: &str, find: impl Fn(&str) -> Option<(usize, &'static str)>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        match find(rest) {
            Some((length, name)) => {
                out += name;
                rest = &rest[length..];
            }
            None => {
                out.push(char);
                rest = &rest[char.len_utf8()..];
            }
        }
    }
    out
}

/// Replaces resourceVersions in messages about them.
fn hide_versions(text: &str) -> String {
    let lower = text.to_lowercase();
    if !lower.contains("resource version") && !lower.contains("resourceversion") {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut digits = String::new();
    for char in text.chars().chain(['\0']) {
        if char.is_ascii_digit() {
            digits.push(char);
            continue;
        }
        let part = std::mem::take(&mut digits);
        let told = [": ", "(", "version "].iter().any(|before| out.ends_with(before));
        match part.parse::<u64>() {
            Ok(1..) if told && !out.ends_with("Code: ") => out += "<rv>",
            _ => out += &part,
        }
        if char != '\0' {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Names;

    #[test]
    fn the_same_uid_keeps_its_name_and_another_gets_another() {
        let mut names = Names::default();
        let one = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        let two = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
        for uid in [one, two, one] {
            names.learn(&json!({"name": "a", "uid": uid, "creationTimestamp": "x"}));
        }
        assert_eq!(names.text(&format!("{two}, {one}")), "<uid 2>, <uid 1>");
    }

    #[test]
    fn versions_are_numbered_in_fields_and_hidden_in_messages() {
        let mut names = Names::default();
        let seen = json!([{"resourceVersion": "17"}, {"resourceVersion": "19"},
            {"resourceVersion": "17", "message": "too old resource version: 3 (19)"}]);
        let wanted = json!([{"resourceVersion": "<rv 1>"}, {"resourceVersion": "<rv 2>"},
            {"resourceVersion": "<rv 1>", "message": "too old resource version: <rv> (<rv>)"}]);
        assert_eq!(names.value(&seen), wanted);
    }

    #[test]
    fn generated_names_are_known_by_what_they_begin_with() {
        let mut names = Names::default();
        let pod = json!({"metadata": {"generateName": "web-5d4f-", "name": "web-5d4f-x2x2x",
            "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "labels": {"pod-template-hash": "5d4f"}}});
        names.learn(&pod);
        assert_eq!(names.text("Created pod: web-5d4f-x2x2x"), "Created pod: web-<hash 1>-<any>");
        assert_eq!(names.text("5d4fa"), "5d4fa");
    }

    #[test]
    fn times_are_hidden_wherever_they_are() {
        let names = Names::default();
        assert_eq!(names.text("at 2026-01-01T00:00:00.123Z it"), "at <time> it");
    }
}
