//! Structural schemas of custom resources: which fields stay, which get defaults, which values are
//! refused.

use serde_json::{Map, Value};

use super::status::FieldError;

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
/// Known in each object, whatever its schema says.
const TYPED: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes the fields that the schema does not know; adds their paths to `unknown`.
pub(super) fn prune(schema: &Value, object: &mut Value, unknown: &mut Vec<String>) {
    prune_value(schema, object, ("", true), unknown);
}

fn prune_value(
    schema: &Value,
    value: &mut Value,
    (path, whole): (&str, bool),
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => {
            let whole = whole || schema[EMBEDDED] == true;
            let open = schema[PRESERVE] == true;
            map.retain(|key, value| {
                if whole && TYPED.contains(&key.as_str()) {
                    return true;
                }
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known(schema, key) {
                    Some(schema) => prune_value(schema, value, (&path, false), unknown),
                    None if open => {}
                    None => {
                        unknown.push(path);
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                prune_value(&schema["items"], item, (&format!("{path}[{at}]"), false), unknown);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema of a member; `None` when it is not part of the type.
pub(super) fn known<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let additional = &schema["additionalProperties"];
    let any = (additional.is_object() || *additional == true).then_some(additional);
    schema["properties"].get(key).or(any)
}

/// Fills in defaults, also within what was filled in.
pub(super) fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            for (key, schema) in properties {
                let missing =
                    map.get(key).is_none_or(|value| value.is_null() && schema["nullable"] != true);
                if let Some(default) = schema.get("default").filter(|_| missing) {
                    map.insert(key.clone(), default.clone());
                }
            }
            for (key, value) in map.iter_mut() {
                if let Some(schema) = known(schema, key) {
                    complete(schema, value);
                }
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| complete(&schema["items"], item));
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Refuses values of other types, missing fields, and values outside of their bounds.
pub(super) fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if schema[INT_OR_STRING] == true {
        return;
    }
    let wanted = schema["type"].as_str().unwrap_or_default();
    if !wanted.is_empty() && !is_of(wanted, value) {
        let why = format!("{path} in body must be of type {wanted}: \"{}\"", name_of(value));
        errors.push(FieldError::type_invalid(path, &name_of(value).into(), why));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        errors.push(FieldError::not_supported(path, value, &allowed));
    }
    bounds(schema, value, path, errors);
    lengths(schema, value, path, errors);
    match value {
        Value::Object(map) => members(schema, map, path, errors),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{at}]"), errors);
            }
            duplicates(schema, items, path, errors);
        }
        Value::String(text) => pattern(schema, text, path, errors),
        Value::Bool(_) | Value::Null | Value::Number(_) => {}
    }
}

/// Refuses items that a set or a map has already.
fn duplicates(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let keys = match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => schema["x-kubernetes-list-map-keys"].as_array(),
        Some("set") => None,
        _ => return,
    };
    let identity = |item: &Value| match keys {
        None => item.clone(),
        Some(keys) => {
            let keys = keys.iter().filter_map(Value::as_str);
            keys.filter_map(|key| Some((key.to_owned(), item.get(key)?.clone()))).collect()
        }
    };
    let mut seen = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let own = identity(item);
        if seen.contains(&own) {
            errors.push(FieldError::duplicate(format!("{path}[{at}]"), &own));
        } else {
            seen.push(own);
        }
    }
}

fn pattern(schema: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let Some(wanted) = schema["pattern"].as_str() else { return };
    // A pattern that is none here is left to servers that know more of them.
    if regex_lite::Regex::new(wanted).is_ok_and(|pattern| !pattern.is_match(text)) {
        let why = format!("{path} in body should match '{wanted}'");
        errors.push(FieldError::invalid(path, &text.into(), why));
    }
}

fn lengths(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let limit = |key: &str| schema[key].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let too_few = |least: Option<usize>, length: usize, what: &str| {
        let least = least.filter(|least| length < *least)?;
        let why = format!("{path} in body should {what} {least}");
        Some(FieldError::invalid(path, value, why))
    };
    if let Some(items) = value.as_array() {
        let most = limit("maxItems").filter(|most| items.len() > *most);
        errors.extend(most.map(|most| FieldError::too_many(path, items.len(), most)));
        let least = too_few(limit("minItems"), items.len(), "have at least so many items:");
        errors.extend(least);
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count();
        let most = limit("maxLength").filter(|most| length > *most);
        errors.extend(most.map(|most| FieldError::too_long(path, most)));
        errors.extend(too_few(limit("minLength"), length, "be at least this long:"));
    }
}

fn members(schema: &Value, map: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let required = schema["required"].as_array().into_iter().flatten();
    for key in required.filter_map(Value::as_str).filter(|key| !map.contains_key(*key)) {
        errors.push(FieldError::required(below(key), ""));
    }
    for (key, value) in map {
        if let Some(schema) = known(schema, key) {
            check(schema, value, &below(key), errors);
        }
    }
}

fn bounds(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    for (key, word, broken) in [
        ("minimum", "greater", schema["minimum"].as_f64().is_some_and(|least| number < least)),
        ("maximum", "less", schema["maximum"].as_f64().is_some_and(|most| number > most)),
    ] {
        if broken {
            let why = format!("{path} in body should be {word} than or equal to {}", schema[key]);
            errors.push(FieldError::invalid(path, value, why));
        }
    }
}

fn is_of(wanted: &str, value: &Value) -> bool {
    match wanted {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => true,
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": { "type": "integer", "minimum": 1 },
                        "mode": { "type": "string", "enum": ["a", "b"], "default": "a" },
                        "free": { "type": "object", PRESERVE: true },
                        "map": { "type": "object", "additionalProperties": { "type": "string" } },
                    },
                },
            },
        })
    }

    #[test]
    fn unknown_fields_go_and_defaults_come() {
        let mut object = json!({
            "apiVersion": "x/v1",
            "kind": "X",
            "metadata": { "name": "x" },
            "spec": { "size": 1, "other": 1, "free": { "a": { "b": 1 } }, "map": { "k": "v" } },
        });
        let mut unknown = Vec::new();
        prune(&schema(), &mut object, &mut unknown);
        complete(&schema(), &mut object);
        assert_eq!(unknown, ["spec.other"]);
        let spec =
            json!({ "size": 1, "mode": "a", "free": { "a": { "b": 1 } }, "map": { "k": "v" } });
        assert_eq!(object["spec"], spec);
        assert_eq!(object["kind"], "X");
    }

    #[test]
    fn bad_values_are_named_by_their_paths() {
        let mut errors = Vec::new();
        let object = json!({ "spec": { "size": "1", "mode": "c" } });
        check(&schema(), &object, "", &mut errors);
        check(&schema(), &json!({ "spec": { "size": 0 } }), "", &mut errors);
        check(&schema(), &json!({ "spec": {} }), "", &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\"",
                "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
                "spec.size: Required value",
            ]
        );
    }
}
