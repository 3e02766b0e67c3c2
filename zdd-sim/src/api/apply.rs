//! Server-side apply: merges a configuration into an object, with conflicts between managers.

use http::StatusCode;
use serde_json::{Map, Value};

use super::fields::{Difference, Fields, element};
use super::managed::{self, Manager, Operation, Writer, owned_part};
use super::schema::{ListKind, Schema};
use super::status::{ApiStatus, Cause, Details, FieldError};
use super::strategic::reorder;
use crate::object::Object;

/// Merges `config` into `live`; the result carries the new `managedFields`.
///
/// # Errors
/// 409 when another manager owns what would change, unless the request forces it.
pub(crate) fn merge(writer: &Writer<'_>, live: &Value, config: &Value) -> Result<Value, ApiStatus> {
    let (schema, call) = (writer.schema(), writer.call);
    let config = &only_metadata_asked(config);
    let own = writer.entry(Operation::Apply, owned_fields(writer, config));
    let mut managers = managed::read(live);
    if managers.is_empty() {
        managers.push(before_first_apply(writer, live));
    }
    let last = managers.iter().position(|other| own.is_same(other)).map(|at| managers.remove(at));

    let mut merged = live.clone();
    let mut part = owned_part(call, config);
    merge_value(schema, &mut merged, &mut part, ("", ""));
    for key in ["resourceVersion", "uid"] {
        if let Some(value) = config["metadata"].get(key) {
            merged["metadata"][key] = value.clone();
        }
    }
    if let Some(last) = &last {
        let mut kept = own.fields.with_parents();
        for other in &managers {
            kept = kept.union(&other.fields.with_parents());
        }
        last.fields.with_named_parents().minus(&kept).remove_from(schema, &mut merged, ("", ""));
    }

    let before = owned_part(call, live);
    let found = Difference::between(schema, &before, &owned_part(call, &merged), ("", ""));
    let allowed = applied_by_client(writer, live);
    let conflicts: Vec<(String, Fields)> = managers
        .iter()
        .map(|other| (shown(other), other.fields.intersection(&found.changed).minus(&allowed)))
        .filter(|(_, fields)| !fields.is_empty())
        .collect();
    if !conflicts.is_empty() && call.query.force != Some(true) {
        return Err(refusal(&conflicts));
    }
    let gone = found.changed.union(&found.removed);
    for other in &mut managers {
        other.fields = other.fields.minus(&gone);
    }
    let unchanged = last.filter(|last| last.fields == own.fields);
    managers.push(unchanged.unwrap_or(own));
    managed::write(&mut merged, managers);
    Ok(merged)
}

/// What `kubectl apply` wrote on the client's side and nobody has changed since: `kubectl` may take
/// it over without a conflict (`lastAppliedManager` of apimachinery).
fn applied_by_client(writer: &Writer<'_>, live: &Value) -> Fields {
    let last = live.annotation("kubectl.kubernetes.io/last-applied-configuration");
    let last = last.filter(|_| writer.manager == "kubectl");
    let Some(last) = last.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return Fields::default();
    };
    let (last, now) = (owned_part(writer.call, &last), owned_part(writer.call, live));
    let since = Difference::between(writer.schema(), &last, &now, ("", ""));
    Fields::of(writer.schema(), &last, "", "").minus(&since.changed)
}

/// Makes a new object of a configuration.
///
/// # Errors
/// 404 or 409 when the configuration speaks of an object that should be there.
pub(crate) fn first(writer: &Writer<'_>, config: &Value) -> Result<Value, ApiStatus> {
    let resource = &writer.call.resource;
    let name = writer.call.name();
    let of = resource.group_resource();
    if !config.uid().is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            config.uid()
        );
        return Err(ApiStatus::conflict(of, name, why));
    }
    if config.revision() != 0 {
        return Err(ApiStatus::not_found(of, name));
    }
    let mut object = only_metadata_asked(config);
    let own = writer.entry(Operation::Apply, owned_fields(writer, config));
    managed::write(&mut object, vec![own]);
    Ok(object)
}

/// # Errors
/// 422 or 400 for what an apply request must and must not say.
pub(crate) fn check(named: bool, config: &Value) -> Result<(), ApiStatus> {
    if !named {
        let errors = [FieldError::required("fieldManager", "is required for apply patch")];
        return Err(ApiStatus::invalid_kind("meta.k8s.io", "PatchOptions", "", &errors));
    }
    if config["metadata"]["managedFields"].as_array().is_some_and(|all| !all.is_empty()) {
        return Err(ApiStatus::bad_request("metadata.managedFields must be nil"));
    }
    let typed = |key: &str| config[key].as_str().is_some_and(|text| !text.is_empty());
    if !(typed("apiVersion") && typed("kind")) {
        let text = |key: &str| config[key].as_str().unwrap_or_default();
        let (group, version) =
            text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        return Err(ApiStatus::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={}",
            text("kind")
        )));
    }
    Ok(())
}

fn owned_fields(writer: &Writer<'_>, config: &Value) -> Fields {
    let part = owned_part(writer.call, config);
    if part.as_object().is_none_or(Map::is_empty) {
        return Fields::default();
    }
    Fields::of(writer.schema(), &part, "", "")
}

fn only_metadata_asked(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    config
}

/// What was there before anyone applied belongs to someone who may not be overruled in silence.
fn before_first_apply(writer: &Writer<'_>, live: &Value) -> Manager {
    let fields = Fields::of(writer.schema(), &owned_part(writer.call, live), "", "");
    Manager {
        name: "before-first-apply".to_owned(),
        subresource: String::new(),
        ..writer.entry(Operation::Update, fields)
    }
}

fn merge_value(
    schema: Schema<'_>,
    target: &mut Value,
    config: &mut Value,
    (around, field): (&str, &str),
) {
    match (target, config) {
        (Value::Object(target), Value::Object(config)) if !schema.is_atomic_map(field) => {
            for (key, value) in config {
                match target.get_mut(key) {
                    Some(old) => merge_value(schema.member(key), old, value, (field, key)),
                    None => {
                        target.insert(key.clone(), value.take());
                    }
                }
            }
        }
        (Value::Array(target), Value::Array(config))
            if schema.list_kind(around, field) != ListKind::Atomic =>
        {
            let kind = schema.list_kind(around, field);
            let order: Vec<Option<String>> =
                config.iter().map(|item| element(kind, item)).collect();
            for (item, key) in config.iter_mut().zip(&order) {
                match target.iter_mut().find(|old| element(kind, old) == *key) {
                    Some(old) => merge_value(schema.item(), old, item, (around, field)),
                    None => target.push(item.take()),
                }
            }
            reorder(target, |item| {
                let key = element(kind, item);
                order.iter().position(|wanted| *wanted == key)
            });
        }
        (target, config) => *target = config.take(),
    }
}

fn shown(manager: &Manager) -> String {
    let mut text = format!("\"{}\"", manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource \"{}\"", manager.subresource);
    }
    match manager.operation {
        Operation::Apply => text,
        Operation::Update => format!("{text} using {}", manager.api_version),
    }
}

fn refusal(conflicts: &[(String, Fields)]) -> ApiStatus {
    let mut causes = Vec::new();
    let mut parts = Vec::new();
    for (manager, fields) in conflicts {
        let paths = fields.paths();
        causes.extend(paths.iter().map(|path| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {manager}"),
            field: path.clone(),
        }));
        parts.push(match paths.as_slice() {
            [one] => format!("conflict with {manager}: {one}"),
            more => format!("conflicts with {manager}:\n- {}", more.join("\n- ")),
        });
    }
    let number = causes.len();
    let word = if number == 1 { "conflict" } else { "conflicts" };
    let message = format!("Apply failed with {number} {word}: {}", parts.join("\n"));
    let mut status = ApiStatus::new(StatusCode::CONFLICT, "Conflict", message);
    status.details = Some(Box::new(Details { causes, ..Details::default() }));
    status
}
