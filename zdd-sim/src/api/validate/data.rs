//! ConfigMaps and Secrets: what may be in them.

use serde_json::Value;

use super::{Errors, FieldError};

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
    (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
    '[-._a-zA-Z0-9]+')";
/// What the data of one object may weigh.
const LIMIT: usize = 1 << 20;
/// Shown instead of what is secret.
const REDACTED: &str = "<secret contents redacted>";

/// Checks a ConfigMap.
pub(super) fn config_map(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    immutable(object, old, errors);
    for (name, _) in entries(object, "data") {
        key(name, &format!("data[{name}]"), errors);
        if object["binaryData"].get(name).is_some() {
            let why = "duplicate of key present in binaryData";
            errors.add(FieldError::invalid(format!("data[{name}]"), &name.into(), why));
        }
    }
    for (name, _) in entries(object, "binaryData") {
        key(name, &format!("binaryData[{name}]"), errors);
    }
    let text = entries(object, "data").map(|(_, value)| value.len());
    let bytes = entries(object, "binaryData").map(|(_, value)| decoded(value));
    if text.chain(bytes).sum::<usize>() > LIMIT {
        errors.add(FieldError::too_long("[]", LIMIT));
    }
}

/// Checks a Secret.
pub(super) fn secret(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    if old.is_some_and(|old| old["type"] != object["type"]) {
        errors.add(FieldError::invalid("type", &object["type"], "field is immutable"));
    }
    immutable(object, old, errors);
    for (name, _) in entries(object, "data") {
        key(name, &format!("data[{name}]"), errors);
    }
    if entries(object, "data").map(|(_, value)| decoded(value)).sum::<usize>() > LIMIT {
        errors.add(FieldError::too_long("data", LIMIT));
    }
    let has = |key: &str| object["data"].get(key).is_some();
    let required: &[&str] = match object["type"].as_str().unwrap_or_default() {
        "kubernetes.io/basic-auth" if has("username") || has("password") => &[],
        "kubernetes.io/basic-auth" => &["username", "password"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    };
    for key in required.iter().filter(|key| !has(key)) {
        errors.add(FieldError::required(format!("data[{key}]"), ""));
    }
    for key in required.iter().filter(|key| key.starts_with(".docker") && has(key)) {
        if let Some(why) = no_json(&object["data"][*key]) {
            errors.add(FieldError::invalid(format!("data[{key}]"), &REDACTED.into(), why));
        }
    }
}

fn entries<'a>(object: &'a Value, map: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let entries = object[map].as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

fn immutable(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    let why = "field is immutable when `immutable` is set";
    for key in ["immutable", "data", "binaryData"] {
        if object.get(key) != old.get(key) {
            errors.add(FieldError::forbidden(key, why));
        }
    }
}

/// A key becomes the name of a file.
fn key(name: &str, path: &str, errors: &mut Errors) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let why = match name {
        _ if name.is_empty() || !name.chars().all(fits) => KEY,
        "." => "must not be '.'",
        ".." => "must not be '..'",
        _ if name.starts_with("..") => "must not start with '..'",
        _ if name.len() > 253 => "must be no more than 253 bytes",
        _ => return,
    };
    errors.add(FieldError::invalid(path, &name.into(), why));
}

/// The length of what base64 stands for.
fn decoded(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// Says why bytes in base64 are no JSON, in Go's words where they are short.
fn no_json(value: &Value) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
    let error = serde_json::from_slice::<Value>(&bytes).err()?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    Some(match first {
        None => "unexpected end of JSON input".to_owned(),
        Some(byte) if !b"{[\"-0123456789tfn".contains(byte) => {
            format!("invalid character '{}' looking for beginning of value", char::from(*byte))
        }
        Some(_) => error.to_string(),
    })
}
