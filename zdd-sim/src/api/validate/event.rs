//! Events: whom they are about.

use serde_json::Value;

use super::{Errors, FieldError};
use crate::api::resource::Resource;
use crate::object::Object;

/// Checks an Event; the newer group asks for more.
pub(super) fn check(resource: &Resource, object: &Value, errors: &mut Errors) {
    let about = &object["involvedObject"]["namespace"];
    let (about_text, own) = (about.as_str().unwrap_or_default(), object.namespace());
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let is_new = !text("eventTime").is_empty();
    // What lies in no namespace has its Events in `default`.
    let fits = match (is_new, about_text) {
        (true, "") => matches!(own, "default" | "kube-system"),
        (true, _) => true,
        (false, "") => own == "default",
        (false, about) => about == own,
    };
    if !fits {
        let why = "does not match event.namespace";
        errors.add(FieldError::invalid("involvedObject.namespace", &about_text.into(), why));
    }
    let is_strict = resource.group() == "events.k8s.io";
    if is_new {
        let reporter = if is_strict { "reportingController" } else { "reportingComponent" };
        for (key, path) in [
            ("reportingComponent", reporter),
            ("reportingInstance", "reportingInstance"),
            ("action", "action"),
            ("reason", "reason"),
        ] {
            if text(key).is_empty() {
                errors.add(FieldError::required(path, ""));
            }
        }
    } else if is_strict {
        errors.add(FieldError::required("eventTime", ""));
    }
    if is_strict && !matches!(text("type"), "Normal" | "Warning") {
        let why = format!("has invalid value: {}", text("type"));
        errors.add(FieldError::invalid("type", &"".into(), why));
    }
}
