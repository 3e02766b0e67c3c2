//! The `scale` subresource: replicas without the rest of the object.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Caller;
use super::apply;
use super::patch::PatchKind;
use super::reply::{Reply, json as reply_json};
use super::request::{Call, Verb};
use super::resource::Resource;
use super::status::{ApiStatus, FieldError};
use super::write::{Tracking, decode, overwrite, writer};
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
    let mut scale = scale_of(resource, &old);
    match call.verb {
        Verb::Get => return Ok(reply_json(StatusCode::OK, &scale)),
        Verb::Update => scale = decode(body)?,
        Verb::Patch => match PatchKind::of(resource, headers)? {
            PatchKind::Apply => {
                let object = apply_scale(store, caller, call, &old, &decode(body)?)?;
                return Ok(reply_json(StatusCode::OK, &scale_of(resource, &object)));
            }
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
    set(&mut object, &resource.scale_paths().wanted, scale.int("/spec/replicas"));
    let (code, object) = overwrite(store, caller, call, &old, object, Tracking::Update)?;
    Ok(reply_json(code, &scale_of(resource, &object)))
}

/// Applies a scale: who does so owns the number in the object itself.
fn apply_scale(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    old: &Arc<Value>,
    scale: &Value,
) -> Result<Arc<Value>, ApiStatus> {
    apply::check(!call.query.field_manager.is_empty(), scale)?;
    check(call, scale)?;
    let mut config = json!({ "metadata": { "name": call.name() } });
    for key in ["resourceVersion", "uid"] {
        if let Some(value) = scale["metadata"].get(key) {
            config["metadata"][key] = value.clone();
        }
    }
    if let Some(replicas) = scale.int("/spec/replicas") {
        set(&mut config, &call.resource.scale_paths().wanted, Some(replicas));
    }
    let merged = apply::merge(&writer(store, caller, call), old, &config)?;
    overwrite(store, caller, call, old, merged, Tracking::Done).map(|(_, object)| object)
}

/// Sets the number at a path, which need not be there yet.
fn set(object: &mut Value, pointer: &str, replicas: Option<i64>) {
    let keys = pointer.split('/').filter(|key| !key.is_empty());
    *keys.fold(object, |value, key| &mut value[key]) = replicas.unwrap_or_default().into();
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

fn scale_of(resource: &Resource, object: &Arc<Value>) -> Value {
    let paths = resource.scale_paths();
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
        "status": { "replicas": object.int(&paths.found).unwrap_or(0) },
    });
    // The server leaves out a zero here.
    if let Some(replicas) = object.int(&paths.wanted).filter(|&replicas| replicas != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    let selector = match &paths.selector {
        Some(path) => object.text(path).unwrap_or_default().to_owned(),
        None if resource.is_custom() => String::new(),
        None => selector_text(&object["spec"]["selector"]),
    };
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
