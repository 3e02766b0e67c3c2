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
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and \
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

/// Checks the keys and values of labels.
pub(super) fn labels(labels: &Value, path: &str, errors: &mut Errors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let (prefix, name) = key
            .rsplit_once('/')
            .map_or((None, key.as_str()), |(prefix, name)| (Some(prefix), name));
        let prefixed = prefix.is_none_or(|prefix| prefix.split('.').all(is_label));
        if !(prefixed && is_word(name) && name.len() <= 63) {
            errors.add(FieldError::invalid(path, &key.as_str().into(), NAME_PART));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.add(FieldError::invalid(path, value, "must be no more than 63 bytes"));
        }
        if !(text.is_empty() || is_word(text)) {
            errors.add(FieldError::invalid(path, value, LABEL_VALUE));
        }
    }
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(fits) && text.ends_with(fits) && text.chars().all(|c| fits(c) || c == '-')
}

fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(fits)
        && text.ends_with(fits)
        && text.chars().all(|c| fits(c) || matches!(c, '-' | '_' | '.'))
}
