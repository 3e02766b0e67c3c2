//! Names and labels.

use serde_json::Value;

use super::{Errors, FieldError};
use crate::api::resource::Resource;
use crate::object::Object;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
pub(crate) const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Checks the name of a new object.
pub(super) fn name(resource: &Resource, object: &Value, errors: &mut Errors) {
    let name = object.name();
    if name.is_empty() || resource.group() == "rbac.authorization.k8s.io" {
        return;
    }
    let value = &object["metadata"]["name"];
    if matches!(resource.plural(), "namespaces" | "services") {
        label(value, "metadata.name", errors);
        return;
    }
    if name.len() > 253 {
        let why = "must be no more than 253 bytes";
        errors.add(FieldError::invalid("metadata.name", value, why));
    }
    if !name.split('.').all(is_label) {
        errors.add(FieldError::invalid("metadata.name", value, SUBDOMAIN));
    }
}

/// Checks a DNS label.
pub(super) fn label(value: &Value, path: &str, errors: &mut Errors) {
    let text = value.as_str().unwrap_or_default();
    if text.len() > 63 {
        errors.add(FieldError::invalid(path, value, "must be no more than 63 bytes"));
    }
    if !is_label(text) {
        errors.add(FieldError::invalid(path, value, LABEL));
    }
}

/// Checks the keys of annotations, in which letters of either case are alike.
pub(super) fn annotations(annotations: &Value, errors: &mut Errors) {
    for key in annotations.as_object().into_iter().flatten().map(|(key, _)| key) {
        self::key(&key.to_lowercase(), key, "metadata.annotations", errors);
    }
}

/// Checks a qualified name, and shows it as it was written.
fn key(text: &str, shown: &str, path: &str, errors: &mut Errors) {
    let (prefix, name) =
        text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefixed = prefix.is_none_or(|prefix| prefix.split('.').all(is_label));
    if !(prefixed && is_word(name) && name.len() <= 63) {
        errors.add(FieldError::invalid(path, &shown.into(), NAME_PART));
    }
}

/// Checks that nobody but the server says when an object is deleted.
pub(super) fn deletion(object: &Value, old: &Value, errors: &mut Errors) {
    let value = &object["metadata"]["deletionTimestamp"];
    if !old.is_terminating() && !value.is_null() {
        let why = "field is immutable";
        errors.add(FieldError::invalid("metadata.deletionTimestamp", value, why));
    }
}

/// Checks the keys and values of labels.
pub(super) fn labels(labels: &Value, path: &str, errors: &mut Errors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        self::key(key, key, path, errors);
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.add(FieldError::invalid(path, value, "must be no more than 63 bytes"));
        }
        if !(text.is_empty() || is_word(text)) {
            errors.add(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
}

/// Checks references to owners.
pub(super) fn owners(references: &Value, errors: &mut Errors) {
    let field = "metadata.ownerReferences";
    let mut controller: Option<String> = None;
    for (at, reference) in references.as_array().into_iter().flatten().enumerate() {
        let text = |key: &str| reference[key].as_str().unwrap_or_default();
        for key in ["apiVersion", "kind", "name", "uid"] {
            if text(key).is_empty() {
                let path = format!("{field}[{at}].{key}");
                errors.add(FieldError::required(path, "must not be empty"));
            }
        }
        if reference["controller"] != true {
            continue;
        }
        let name = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            Some(first) => {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in \
                     references for {first} and {name}"
                );
                errors.add(FieldError::invalid(field, references, why));
            }
            None => controller = Some(name),
        }
    }
}

/// Checks finalizers, and that an object that is being deleted gets no more of them.
pub(super) fn finalizers(
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
    errors: &mut Errors,
) {
    const STANDARD: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];
    let list = |object: &Value| object["metadata"]["finalizers"].as_array().cloned();
    let all = list(object).unwrap_or_default();
    let field = "metadata.finalizers";
    for (at, value) in all.iter().enumerate() {
        let text = value.as_str().unwrap_or_default();
        let (prefix, name) = text.rsplit_once('/').unwrap_or(("", text));
        if !prefix.is_empty() && !prefix.split('.').all(is_label) {
            errors.add(FieldError::invalid(field, value, format!("prefix part {SUBDOMAIN}")));
        }
        if !is_word(name) || name.len() > 63 {
            errors.add(FieldError::invalid(field, value, NAME_PART));
        } else if prefix.is_empty() && !STANDARD.contains(&text) && !resource.is_custom() {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.add(FieldError::invalid(format!("{field}[{at}]"), value, why));
        }
    }
    let Some(old) = old.filter(|old| old.is_terminating()) else { return };
    let before = list(old).unwrap_or_default();
    let added: Vec<String> =
        all.iter().filter(|value| !before.contains(value)).map(Value::to_string).collect();
    if !added.is_empty() {
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers \
             []string{{{}}}",
            added.join(", ")
        );
        errors.add(FieldError::forbidden(field, &why));
    }
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(fits) && text.ends_with(fits) && text.chars().all(|c| fits(c) || c == '-')
}

/// Tells whether a text can be the name part of a label.
pub(crate) fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(fits)
        && text.ends_with(fits)
        && text.chars().all(|c| fits(c) || matches!(c, '-' | '_' | '.'))
}
