//! Creates, replaces and patches objects.

mod check;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

pub(crate) use check::stamp_type;
use check::{check_namespace, check_preconditions, check_uid, clear_system_fields, identify};

use super::convert::{absorb, present};
use super::managed::Writer;
use super::patch::PatchKind;
use super::request::Call;
use super::resource::Resource;
use super::status::{ApiStatus, FieldError};
use super::{Caller, Core, apply, defaults, definition, service, shape, validate};
use crate::collection::Collection;
use crate::object::Object;
use crate::store::{Part, Store};

/// Letters and digits that cannot form words by accident.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How often a generated name is tried anew when it is taken.
const NAME_ATTEMPTS: usize = 8;
/// Longest prefix of a generated name.
const PREFIX_LIMIT: usize = 58;

/// An object and the HTTP status that tells what became of it.
pub(crate) type Written = (StatusCode, Arc<Value>);

impl Core {
    /// Creates an object.
    pub(crate) fn create(
        &self,
        store: &mut Store,
        caller: &Caller,
        call: &Call,
        mut object: Value,
    ) -> Result<Written, ApiStatus> {
        let resource = &call.resource;
        identify(call, &mut object)?;
        absorb(resource, &mut object);
        check_namespace(store, resource, &object)?;
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|text| !text.is_empty()) {
            let why = "resourceVersion should not be set on objects to be created";
            return Err(ApiStatus::new(StatusCode::INTERNAL_SERVER_ERROR, "", why));
        }
        clear_system_fields(resource, &mut object);
        self.insert(store, caller, call, object, Tracking::Update)
    }

    /// Checks and stores a new object.
    fn insert(
        &self,
        store: &mut Store,
        caller: &Caller,
        call: &Call,
        mut object: Value,
        tracking: Tracking,
    ) -> Result<Written, ApiStatus> {
        let resource = &call.resource;
        definition::check_stays(store, resource, &object)?;
        complete(store, call, &mut object, None)?;
        if tracking == Tracking::Update {
            writer(store, caller, call).on_create(&mut object);
        }
        defaults::first_status(resource, &mut object);
        let generated = object.name().is_empty();
        let prefix = object.text("/metadata/generateName").unwrap_or_default().to_owned();
        if generated && prefix.is_empty() {
            let errors =
                [FieldError::required("metadata.name", "name or generateName is required")];
            return Err(ApiStatus::invalid(resource, "", &errors));
        }
        let mut attempts = if generated { NAME_ATTEMPTS } else { 1 };
        loop {
            let mut object = object.clone();
            if generated {
                object["metadata"]["name"] = generate(store, &prefix).into();
            }
            attempts -= 1;
            validate::check(resource, &object, None)?;
            self.admission.review(store, resource.collection(), &mut object)?;
            let name = object.name().to_owned();
            let place = (object.namespace(), name.as_str());
            if store.get(resource.collection(), place.0, place.1).is_some() {
                if attempts > 0 {
                    continue;
                }
                return Err(ApiStatus::already_exists(resource.group_resource(), &name));
            }
            let created = run(store, call, |store| {
                store.create_with(&caller.actor, resource.collection(), object, |object| {
                    defaults::of_identity(resource, object);
                })
            });
            return created
                .map(|object| (StatusCode::CREATED, object))
                .map_err(|error| ApiStatus::from_store(resource, error));
        }
    }

    /// Replaces an object.
    pub(crate) fn replace(
        &self,
        store: &mut Store,
        caller: &Caller,
        call: &Call,
        mut object: Value,
    ) -> Result<Written, ApiStatus> {
        let resource = &call.resource;
        if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            return Err(ApiStatus::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                call.name()
            )));
        }
        identify(call, &mut object)?;
        absorb(resource, &mut object);
        let Some(old) = store.get(resource.collection(), &call.namespace, call.name()) else {
            if resource.put_creates() && call.subresource.is_none() {
                check_namespace(store, resource, &object)?;
                clear_system_fields(resource, &mut object);
                return self.insert(store, caller, call, object, Tracking::Update);
            }
            return Err(ApiStatus::not_found(resource.group_resource(), call.name()));
        };
        let old = Arc::clone(old);
        let versioned =
            object["metadata"]["resourceVersion"].as_str().is_some_and(|text| !text.is_empty());
        if resource.guards_put() && !versioned {
            let errors = [FieldError::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            )];
            let plural = resource.plural();
            return Err(ApiStatus::invalid_kind(resource.group(), plural, call.name(), &errors));
        }
        check_uid(resource, &old, &object)?;
        overwrite(store, caller, call, &old, object, Tracking::Update)
    }

    /// Patches an object.
    pub(crate) fn patch(
        &self,
        store: &mut Store,
        caller: &Caller,
        call: &Call,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Written, ApiStatus> {
        let resource = &call.resource;
        let kind = PatchKind::of(resource, headers)?;
        if kind != PatchKind::Apply && call.query.force.is_some() {
            let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
            return Err(ApiStatus::invalid_kind("meta.k8s.io", "PatchOptions", "", &[error]));
        }
        let patch = decode_as(resource, body)?;
        if kind == PatchKind::Apply {
            return self.apply(store, caller, call, patch);
        }
        let old = store.get(resource.collection(), &call.namespace, call.name());
        let old = old
            .cloned()
            .ok_or_else(|| ApiStatus::not_found(resource.group_resource(), call.name()))?;
        let mut object = Arc::unwrap_or_clone(present(resource, &old));
        stamp_type(resource, &mut object);
        kind.change(&mut object, patch)?;
        identify(call, &mut object)?;
        absorb(resource, &mut object);
        overwrite(store, caller, call, &old, object, Tracking::Update)
    }

    /// Applies a configuration.
    fn apply(
        &self,
        store: &mut Store,
        caller: &Caller,
        call: &Call,
        mut config: Value,
    ) -> Result<Written, ApiStatus> {
        let resource = &call.resource;
        let old = store.get(resource.collection(), &call.namespace, call.name()).cloned();
        let mut object = {
            let writer = writer(store, caller, call);
            apply::check(!call.query.field_manager.is_empty(), &config)?;
            identify(call, &mut config)?;
            fit(call, &mut config)?;
            match &old {
                Some(old) => apply::merge(&writer, old, &config)?,
                None => apply::first(&writer, &config)?,
            }
        };
        match old {
            Some(old) => overwrite(store, caller, call, &old, object, Tracking::Done),
            None if call.subresource.is_some() => {
                Err(ApiStatus::not_found(resource.group_resource(), call.name()))
            }
            None => {
                check_namespace(store, resource, &object)?;
                clear_system_fields(resource, &mut object);
                self.insert(store, caller, call, object, Tracking::Done)
            }
        }
    }
}

/// Checks and stores a changed object.
pub(crate) fn overwrite(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    old: &Arc<Value>,
    mut object: Value,
    tracking: Tracking,
) -> Result<Written, ApiStatus> {
    let resource = &call.resource;
    check_preconditions(resource, old, &object)?;
    crate::controller::meta::remove(&mut object["metadata"], "selfLink");
    let part = match call.subresource.as_deref() {
        Some("status") => Part::Status,
        _ => Part::Main,
    };
    if part == Part::Main {
        complete(store, call, &mut object, Some(old))?;
        validate::check(resource, &object, Some(old))?;
    } else {
        if resource.is_custom() {
            // Through its status nothing else of a custom object can be written.
            let managers = object["metadata"]["managedFields"].take();
            let status = object["status"].take();
            object = (**old).clone();
            object["status"] = status;
            object["metadata"]["managedFields"] = managers;
        }
        fit(call, &mut object)?;
    }
    if tracking == Tracking::Update {
        writer(store, caller, call).on_update(old, &mut object);
    }
    run(store, call, |store| store.update(&caller.actor, resource.collection(), part, object))
        .map(|object| (StatusCode::OK, object))
        .map_err(|error| ApiStatus::from_store(resource, error))
}

/// Fills in what an object leaves out.
fn complete(
    store: &Store,
    call: &Call,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiStatus> {
    let resource = &call.resource;
    fit(call, object)?;
    defaults::complete(resource, object);
    if resource.collection() == &Collection::DAEMON_SETS {
        defaults::count_templates(object, old);
    }
    if resource.collection() == &Collection::SERVICES {
        service::allocate(store, object, old)
            .map_err(|error| ApiStatus::invalid(resource, object.name(), &[error]))?;
    }
    Ok(())
}

/// Whether the managers of the fields are still to be worked out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tracking {
    Done,
    Update,
}

pub(crate) fn writer<'a>(store: &Store, caller: &'a Caller, call: &'a Call) -> Writer<'a> {
    let asked = call.query.field_manager.as_str();
    let manager = if asked.is_empty() { &caller.manager } else { asked };
    Writer { call, manager, time: store.clock().stamp() }
}

/// Brings an object into the shape of its kind.
fn fit(call: &Call, object: &mut Value) -> Result<(), ApiStatus> {
    let resource = &call.resource;
    let unknown = shape::fit(resource, object)?;
    let list: Vec<String> =
        unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    match call.query.field_validation.as_str() {
        "Strict" if !list.is_empty() => {}
        "Ignore" => return Ok(()),
        _ => {
            list.into_iter().for_each(|text| call.add_warning(text));
            return Ok(());
        }
    }
    let (kind, version) = (resource.kind(), resource.version());
    Err(ApiStatus::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
        list.join(", ")
    )))
}

/// Runs a write, or a rehearsal of it when the request asks for a dry run.
pub(crate) fn run<R>(store: &mut Store, call: &Call, write: impl FnOnce(&mut Store) -> R) -> R {
    if call.query.is_dry() { store.dry_run(write) } else { write(store) }
}

/// Reads a JSON body.
pub(crate) fn decode(body: &[u8]) -> Result<Value, ApiStatus> {
    serde_json::from_slice(body).map_err(|error| {
        ApiStatus::bad_request(format!("the object provided is unrecognized: {error}"))
    })
}

/// Reads the JSON body of an object.
pub(crate) fn decode_as(resource: &Resource, body: &[u8]) -> Result<Value, ApiStatus> {
    serde_json::from_slice(body).map_err(|error| {
        let why = if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        };
        let text = String::from_utf8_lossy(body);
        let text = if text.is_empty() { "<empty>" } else { &*text };
        let kind = resource.kind();
        ApiStatus::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get \
             version/kind; json parse error: {why} ({text})"
        ))
    })
}

/// Completes a generated name with five random letters.
fn generate(store: &mut Store, prefix: &str) -> String {
    let mut name: String = prefix.chars().take(PREFIX_LIMIT).collect();
    for _ in 0..5 {
        let at = store.random().usize(..ALPHABET.len());
        name.push(char::from(ALPHABET[at]));
    }
    name
}
