//! CustomResourceDefinitions.

use serde_json::Value;

use super::{Errors, FieldError, items};
use crate::object::Object;

/// Checks a definition.
pub(super) fn check(object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if object.name() != name {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.add(FieldError::invalid("metadata.name", &object["metadata"]["name"], why));
    }
    errors.one_of(&spec["scope"], &["Cluster", "Namespaced"], "spec.scope");
    for (path, version) in items(spec, "versions", "spec") {
        if version["schema"]["openAPIV3Schema"].is_null() {
            errors.add(FieldError::required(format!("{path}.schema.openAPIV3Schema"), ""));
        }
    }
    let versions = spec["versions"].as_array().into_iter().flatten();
    let stored = versions.filter(|version| version["storage"] == true).count();
    if stored != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.add(FieldError::invalid("spec.versions", &spec["versions"], why));
        if stored == 0 {
            let why = "must have at least one stored version";
            errors.add(FieldError::invalid("status.storedVersions", &Value::Null, why));
        }
    }
    for key in ["plural", "kind"] {
        if text(&spec["names"][key]).is_empty() {
            errors.add(FieldError::required(format!("spec.names.{key}"), ""));
        }
    }
}
