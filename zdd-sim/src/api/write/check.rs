//! What is checked of a body before its kind is looked at: type, place, identity and version.

use serde_json::{Value, json};

use crate::api::request::Call;
use crate::api::resource::Resource;
use crate::api::status::{ApiStatus, Cause, FieldError};
use crate::collection::Collection;
use crate::object::Object;
use crate::store::{Store, StoreError};

/// Checks kind, namespace and name of a body against the path, and completes them.
pub(super) fn identify(call: &Call, object: &mut Value) -> Result<(), ApiStatus> {
    let resource = &call.resource;
    if !object.is_object() {
        let why = "the object provided is unrecognized (must be an object)";
        return Err(ApiStatus::bad_request(why));
    }
    check_type(resource, object)?;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if resource.is_namespaced() {
        let namespace = object.namespace();
        if !namespace.is_empty() && namespace != call.namespace {
            let why = "the namespace of the provided object does not match the namespace sent on \
                       the request";
            return Err(ApiStatus::bad_request(why));
        }
        object["metadata"]["namespace"] = call.namespace.as_str().into();
    } else if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let Some(name) = &call.name else { return Ok(()) };
    if object.name().is_empty() {
        object["metadata"]["name"] = name.as_str().into();
    } else if object.name() != name {
        let found = object.name();
        return Err(ApiStatus::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

fn check_type(resource: &Resource, object: &mut Value) -> Result<(), ApiStatus> {
    let expected = resource.api_version();
    match object["apiVersion"].as_str() {
        Some(found) if !found.is_empty() && found != expected => {
            return Err(ApiStatus::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version \
                 ({expected})"
            )));
        }
        _ => {}
    }
    match object["kind"].as_str() {
        Some(found) if !found.is_empty() && found != resource.kind() => {
            let (kind, version) = (resource.kind(), resource.version());
            let group = if resource.group().is_empty() { "core" } else { resource.group() };
            let package = group.split('.').next().unwrap_or_default();
            return Err(ApiStatus::bad_request(format!(
                "{found} in version \"{version}\" cannot be handled as a {kind}: converting \
                 ({version}.{found}) to ({package}.{kind}): unknown conversion"
            )));
        }
        _ => {}
    }
    stamp_type(resource, object);
    Ok(())
}

pub(crate) fn stamp_type(resource: &Resource, object: &mut Value) {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind().into();
}

pub(super) fn check_namespace(
    store: &Store,
    resource: &Resource,
    object: &Value,
) -> Result<(), ApiStatus> {
    if !resource.is_namespaced() {
        return Ok(());
    }
    let name = object.namespace();
    let namespace = store.get(&Collection::NAMESPACES, "", name);
    let namespace = namespace.ok_or_else(|| ApiStatus::not_found(&Collection::NAMESPACES, name))?;
    if !namespace.is_terminating() {
        return Ok(());
    }
    let why =
        format!("unable to create new content in namespace {name} because it is being terminated");
    let mut status = ApiStatus::forbidden(resource.group_resource(), object.name(), why);
    status.details.get_or_insert_default().causes.push(Cause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    Err(status)
}

/// Removes what only the server may set, and the status where it has its own subresource.
pub(super) fn clear_system_fields(resource: &Resource, object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in [
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "resourceVersion",
            "selfLink",
            "uid",
        ] {
            metadata.remove(key);
        }
    }
    if resource.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
}

/// Checks revision and uid before anything else about the new object is looked at.
pub(super) fn check_preconditions(
    resource: &Resource,
    old: &Value,
    object: &Value,
) -> Result<(), ApiStatus> {
    check_version(resource, old, object)?;
    // A replacement that names another uid was refused before; a patch would change it.
    if object.uid().is_empty() || object.uid() == old.uid() {
        return Ok(());
    }
    let error =
        FieldError::invalid("metadata.uid", &object["metadata"]["uid"], "field is immutable");
    Err(ApiStatus::invalid(resource, old.name(), &[error]))
}

/// Refuses a replacement of another object of the same name.
pub(super) fn check_uid(resource: &Resource, old: &Value, object: &Value) -> Result<(), ApiStatus> {
    if object.uid().is_empty() || object.uid() == old.uid() {
        return Ok(());
    }
    let error = StoreError::UidMismatch {
        collection: resource.collection().clone(),
        namespace: old.namespace().to_owned(),
        name: old.name().to_owned(),
        wanted: object.uid().to_owned(),
        found: old.uid().to_owned(),
    };
    Err(ApiStatus::from_store(resource, error))
}

fn check_version(resource: &Resource, old: &Value, object: &Value) -> Result<(), ApiStatus> {
    let value = &object["metadata"]["resourceVersion"];
    let text = value.as_str().unwrap_or_default();
    match text.parse::<u64>() {
        Err(_) if text.is_empty() => Ok(()),
        Ok(seen) if seen == 0 || seen == old.revision() => Ok(()),
        Ok(_) => Err(ApiStatus::modified(resource.group_resource(), old.name())),
        Err(_) => {
            let why = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
            let errors = [FieldError::invalid("metadata.resourceVersion", value, why)];
            Err(ApiStatus::invalid(resource, old.name(), &errors))
        }
    }
}
