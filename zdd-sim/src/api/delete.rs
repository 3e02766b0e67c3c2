//! Deletes objects.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::Caller;
use super::definition;
use super::read;
use super::reply::{Reply, json as reply_json};
use super::request::{Call, POLICIES, propagation};
use super::status::{ApiStatus, FieldError};
use super::table::View;
use super::write::run;
use crate::collection::Collection;
use crate::object::Object;
use crate::store::{Deletion, Propagation, Store};

/// Namespaces that the server itself needs.
const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

/// The options of a deletion, from body and query.
struct Options {
    deletion: Deletion,
    revision_text: Option<String>,
    /// Dependents were asked to go before the owner, in the old way.
    waits: bool,
    dry: bool,
}

/// Deletes one object.
pub(crate) fn one(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    body: &[u8],
) -> Result<Reply, ApiStatus> {
    let mut call = call.clone();
    let options = Options::read(&call, body)?;
    if options.dry {
        call.query.dry_run.push("All".to_owned());
    }
    let resource = &call.resource;
    let old = store.get(resource.collection(), &call.namespace, call.name());
    let old =
        old.cloned().ok_or_else(|| ApiStatus::not_found(resource.group_resource(), call.name()))?;
    options.check(&call, &old)?;
    if resource.collection() == &Collection::NAMESPACES && IMMORTAL.contains(&call.name()) {
        let why = "this namespace may not be deleted".to_owned();
        return Err(ApiStatus::forbidden(resource.group_resource(), call.name(), why));
    }
    let place = (call.namespace.as_str(), call.name());
    let after = run(store, &call, |store| {
        if resource.collection() == &definition::collection() && !old.is_terminating() {
            definition::begin_to_leave(store, &caller.actor, &old);
        }
        store.delete(&caller.actor, resource.collection(), place, &options.deletion)
    })
    .map_err(|error| ApiStatus::from_store(resource, error))?;
    let remains = after.is_terminating() && {
        let stored = store.get(resource.collection(), place.0, place.1);
        stored.is_some() && (!call.query.is_dry() || after.uid() == old.uid())
    };
    let code = if remains && options.waits { StatusCode::ACCEPTED } else { StatusCode::OK };
    if !remains && resource.collection() == &Collection::PODS {
        // It had no time left to end in, and says so though nobody can see it any more.
        let mut gone = (*after).clone();
        let metadata = &mut gone["metadata"];
        metadata["deletionGracePeriodSeconds"] = 0.into();
        if metadata.get("deletionTimestamp").is_none() {
            metadata["deletionTimestamp"] = store.clock().stamp().into();
        }
        return Ok(read::reply(
            code,
            resource,
            &Arc::new(gone),
            (View::Whole, store.clock().now()),
        ));
    }
    if remains || resource.returns_deleted() {
        return Ok(read::reply(code, resource, &after, (View::Whole, store.clock().now())));
    }
    Ok(reply_json(code, &success(&call, &old)))
}

/// Deletes all selected objects, and answers with what they were.
pub(crate) fn all(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    body: &[u8],
) -> Result<Reply, ApiStatus> {
    let options = Options::read(call, body)?;
    let page = read::list(store, call, None)?;
    for object in &page.items {
        let place = (object.namespace(), object.name());
        let deleted = run(store, call, |store| {
            let collection = call.resource.collection();
            store.delete(&caller.actor, collection, place, &options.deletion)
        });
        deleted.map_err(|error| ApiStatus::from_store(&call.resource, error))?;
    }
    Ok(page.reply(&call.resource, View::Whole, store.clock().now()))
}

impl Options {
    fn read(call: &Call, body: &[u8]) -> Result<Self, ApiStatus> {
        let options: Value = if body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(body).map_err(|error| {
                ApiStatus::bad_request(format!("unable to decode the delete options: {error}"))
            })?
        };
        let query = &call.query;
        check_policy(&options)?;
        let asked = options.text("/propagationPolicy").and_then(propagation).or(query.propagation);
        let orphan = options["orphanDependents"].as_bool();
        let asked = asked.or(match orphan {
            Some(true) => Some(Propagation::Orphan),
            Some(false) => Some(Propagation::Background),
            None => None,
        });
        let revision_text = options.text("/preconditions/resourceVersion").map(str::to_owned);
        let deletion = Deletion {
            uid: options.text("/preconditions/uid").map(str::to_owned),
            revision: None,
            grace_seconds: options.int("/gracePeriodSeconds").or(query.grace_seconds),
            propagation: asked.unwrap_or_default(),
        };
        let dry = options["dryRun"].as_array().is_some_and(|all| !all.is_empty());
        // Who asks in the newer way, by a policy, is not told that the object still waits.
        let waits = orphan == Some(false);
        Ok(Self { deletion, revision_text, waits, dry })
    }

    /// The registry names the kind here, not the resource.
    fn check(&self, call: &Call, old: &Value) -> Result<(), ApiStatus> {
        let (kind, group) = (call.resource.kind(), call.resource.group());
        let refuse = |why: String| {
            let of = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
            Err(ApiStatus::conflict(&Collection::new(of), call.name(), why))
        };
        if let Some(wanted) = &self.deletion.uid
            && wanted != old.uid()
        {
            return refuse(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({}). \
                 The object might have been deleted and then recreated",
                old.uid()
            ));
        }
        if let Some(wanted) = &self.revision_text
            && *wanted != old.revision().to_string()
        {
            return refuse(format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the \
                 ResourceVersion in record ({}). The object might have been modified",
                old.revision()
            ));
        }
        Ok(())
    }
}

/// Refuses a propagation that is none, or that is asked for in two ways.
fn check_policy(options: &Value) -> Result<(), ApiStatus> {
    let Some(policy) = options.get("propagationPolicy").filter(|policy| !policy.is_null()) else {
        return Ok(());
    };
    let field = "propagationPolicy";
    let mut errors = Vec::new();
    if options["orphanDependents"].is_boolean() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(field, policy, why));
    }
    if policy.as_str().and_then(propagation).is_none() {
        errors.push(FieldError::not_supported(field, policy, &POLICIES));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiStatus::invalid_kind("meta.k8s.io", "DeleteOptions", "", &errors))
}

fn success(call: &Call, old: &Arc<Value>) -> Value {
    let mut details = json!({
        "name": call.name(),
        "kind": call.resource.plural(),
        "uid": old.uid(),
    });
    if !call.resource.group().is_empty() {
        details["group"] = call.resource.group().into();
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}
