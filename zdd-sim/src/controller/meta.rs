//! What controllers read and write on any object: selectors, owners, conditions, names.

use serde_json::{Value, json};

use crate::object::Object;

/// The letters of generated names: no vowels, and nothing that looks like another
/// (k8s.io/apimachinery/pkg/util/rand).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Draws the five letters that the API server appends to `generateName`.
pub(crate) fn suffix(random: &mut fastrand::Rng) -> String {
    (0..5).map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())])).collect()
}

/// Writes a number with the letters of generated names (`SafeEncodeString`).
pub(crate) fn safe_encode(number: u32) -> String {
    let digits = number.to_string();
    digits.bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// Tells whether the labels match a `LabelSelector`; an empty or absent one matches nothing here,
/// because no controller may own everything.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let terms = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    if terms.is_none_or(serde_json::Map::is_empty) && expressions.is_none_or(Vec::is_empty) {
        return false;
    }
    terms.into_iter().flatten().all(|(key, value)| labels[key] == *value)
        && expressions.into_iter().flatten().all(|term| holds(term, labels))
}

fn holds(term: &Value, labels: &Value) -> bool {
    let key = term["key"].as_str().unwrap_or_default();
    let label = labels.get(key).filter(|label| label.is_string());
    let listed = || {
        let values = term["values"].as_array();
        label.is_some_and(|label| values.is_some_and(|values| values.contains(label)))
    };
    match term["operator"].as_str().unwrap_or_default() {
        "DoesNotExist" => label.is_none(),
        "Exists" => label.is_some(),
        "In" => listed(),
        "NotIn" => !listed(),
        _ => false,
    }
}

/// Tells whether the labels match a Service's selector; an empty one matches nothing.
pub(crate) fn service_selects(service: &Value, labels: &Value) -> bool {
    let terms = service["spec"]["selector"].as_object();
    terms.is_some_and(|terms| {
        !terms.is_empty() && terms.iter().all(|(key, value)| labels[key] == *value)
    })
}

/// Makes the reference that a controller puts on what it owns.
pub(crate) fn controller_ref(owner: &Value, api_version: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": owner.name(),
        "uid": owner.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Returns the name of the controlling owner of a kind.
pub(crate) fn controller_name<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    (owner["kind"] == kind).then(|| owner["name"].as_str())?
}

/// Returns a condition of `status.conditions`.
pub(crate) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Tells whether a condition of an object's status is `True`.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(&object["status"], kind).is_some_and(|condition| condition["status"] == "True")
}

/// Removes a condition; an empty list goes too.
pub(crate) fn remove_condition(status: &mut Value, kind: &str) {
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    conditions.retain(|condition| condition["type"] != kind);
    if conditions.is_empty() {
        remove(status, "conditions");
    }
}

/// Appends a condition in the place of the one of the same type.
pub(crate) fn replace_condition(status: &mut Value, condition: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|old| old["type"] != condition["type"]);
        conditions.push(condition);
    }
}

/// Removes a key of an object.
pub(crate) fn remove(object: &mut Value, key: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(key);
    }
}

/// Reads a Kubernetes time.
pub(crate) fn time(value: &Value) -> Option<k8s_openapi::jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

/// Resolves an `IntOrString` against a total, rounding a percentage as asked.
pub(crate) fn int_or_percent(value: &Value, total: i64, round: Round) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let product = percent.saturating_mul(total);
    Some(match round {
        Round::Down => product.div_euclid(100),
        Round::Up => product.saturating_add(99).div_euclid(100),
    })
}

/// How a percentage of pods becomes a number.
#[derive(Clone, Copy)]
pub(crate) enum Round {
    Down,
    Up,
}

/// Compares two pod templates as the Deployment controller does: without the hash label and the
/// creation time that Go clients write as null.
pub(crate) fn same_template(a: &Value, b: &Value) -> bool {
    fn rest<'a>(
        map: &'a Value,
        skip: &'static str,
    ) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let entries = map.as_object().into_iter().flatten();
        entries.filter(move |(key, value)| *key != skip && !value.is_null())
    }
    let contained = |a: &Value, b: &Value, skip| rest(a, skip).all(|(k, v)| b.get(k) == Some(v));
    let equal = |a: &Value, b: &Value, skip| contained(a, b, skip) && contained(b, a, skip);
    let (left, right) = (&a["metadata"], &b["metadata"]);
    a["spec"] == b["spec"]
        && equal(&left["labels"], &right["labels"], "pod-template-hash")
        && rest(left, "labels").all(|(key, value)| right.get(key) == Some(value))
        && rest(right, "labels").all(|(key, value)| left.get(key) == Some(value))
}

/// Hashes JSON by FNV-1a over a canonical form, so that the order of keys has no part in it.
///
/// The real `pod-template-hash` is the same function over a Go dump of the template, which only
/// Go can produce; nothing may depend on its value, only on equal templates having equal hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u32);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0x811c_9dc5)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    pub(crate) fn json(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                self.bytes(b"[");
                for item in items {
                    self.json(item);
                }
            }
            Value::Object(map) => {
                self.bytes(b"{");
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort_unstable();
                for key in keys.into_iter().filter(|key| !map[*key].is_null()) {
                    self.bytes(key.as_bytes());
                    self.bytes(b":");
                    self.json(&map[key]);
                }
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
                self.bytes(value.to_string().as_bytes());
            }
        }
        self.bytes(b",");
    }

    pub(crate) fn finish(self) -> u32 {
        self.0
    }
}
