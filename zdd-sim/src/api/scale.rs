//! The `scale` subresource: replicas without the rest of the object.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Caller;
use super::patch::PatchKind;
use super::reply::{Reply, json as reply_json};
use super::request::{Call, Verb};
use super::status::{ApiStatus, FieldError};
use super::write::{Tracking, decode, overwrite};
use crate::object::Object;
use crate::store::Store;

/// Reads or changes the scale of an object.
pub(crate) fn answer(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reply, ApiStatus> {
    let resource = &call.resource;
    let old = store.get(resource.collection(), &call.namespace, call.name());
    let old =
        old.cloned().ok_or_else(|| ApiStatus::not_found(resource.group_resource(), call.name()))?;
    let mut scale = scale_of(&old);
    match call.verb {
        Verb::Get => return Ok(reply_json(StatusCode::OK, &scale)),
        Verb::Update => scale = decode(body)?,
        Verb::Patch => match PatchKind::of(resource, headers)? {
            // All fields of a scale are single values: apply and merge are the same here.
            PatchKind::Apply => PatchKind::Merge.change(&mut scale, decode(body)?)?,
            kind @ (PatchKind::Json | PatchKind::Merge | PatchKind::Strategic) => {
                kind.change(&mut scale, decode(body)?)?
            }
        },
        Verb::Create | Verb::Delete | Verb::DeleteCollection | Verb::List | Verb::Watch => {
            return Err(ApiStatus::method_not_allowed());
        }
    }
    check(call, &scale)?;
    let mut object = (*old).clone();
    for key in ["resourceVersion", "uid"] {
        match scale["metadata"].get(key) {
            Some(value) if !value.is_null() => object["metadata"][key] = value.clone(),
            _ => {}
        }
    }
    object["spec"]["replicas"] = scale.int("/spec/replicas").unwrap_or(0).into();
    let (code, object) = overwrite(store, caller, call, &old, object, Tracking::Update)?;
    Ok(reply_json(code, &scale_of(&object)))
}

fn check(call: &Call, scale: &Value) -> Result<(), ApiStatus> {
    if !scale.name().is_empty() && scale.name() != call.name() {
        return Err(ApiStatus::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            scale.name(),
            call.name()
        )));
    }
    let replicas = &scale["spec"]["replicas"];
    if replicas.as_i64().is_some_and(|replicas| replicas < 0) {
        let why = "must be greater than or equal to 0";
        let errors = [FieldError::invalid("spec.replicas", replicas, why)];
        return Err(ApiStatus::invalid_kind("autoscaling", "Scale", call.name(), &errors));
    }
    Ok(())
}

fn scale_of(object: &Arc<Value>) -> Value {
    let mut metadata = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(key) {
            metadata[key] = value.clone();
        }
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": { "replicas": object.int("/status/replicas").unwrap_or(0) },
    });
    // The server leaves out a zero here.
    if let Some(replicas) = object.int("/spec/replicas").filter(|&replicas| replicas != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// Writes a label selector as text, in order of keys.
pub(crate) fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for part in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = part["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            part["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match part["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.sort();
    parts.join(",")
}
