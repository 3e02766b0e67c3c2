//! Refuses objects that break the rules of their kind, with the server's own sentences.
//!
//! The rules are those of `pkg/apis/*/validation` of Kubernetes 1.37, as far as fields in use
//! here go; each function names the same paths and values as the server's.

mod data;
mod definition;
mod event;
mod meta;
mod pod;
mod service;
mod workload;

use serde_json::Value;

pub(crate) use meta::{NAME_PART, is_word};

use super::resource::Resource;
use super::status::{ApiStatus, FieldError};
use super::structural;
use crate::collection::Collection;
use crate::object::Object;

/// Checks a new object, or one that replaces `old`.
///
/// # Errors
/// 422 with one cause per broken rule.
pub(crate) fn check(
    resource: &Resource,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiStatus> {
    let mut errors = Errors::default();
    if old.is_none() {
        meta::name(resource, object, &mut errors);
    }
    meta::labels(&object["metadata"]["labels"], "metadata.labels", &mut errors);
    meta::annotations(&object["metadata"]["annotations"], &mut errors);
    meta::owners(&object["metadata"]["ownerReferences"], &mut errors);
    meta::finalizers(resource, object, old, &mut errors);
    if let Some(old) = old {
        meta::deletion(object, old, &mut errors);
    }
    if let Some(schema) = resource.schema() {
        structural::check(schema, object, "", &mut errors.0);
    } else if !resource.is_custom() {
        kind(resource, object, old, &mut errors);
    }
    if errors.0.is_empty() {
        return Ok(());
    }
    if resource.collection() == &Collection::EVENTS {
        // Of whichever group: the registry is that of the core.
        return Err(ApiStatus::invalid_kind("", resource.kind(), object.name(), &errors.0));
    }
    Err(ApiStatus::invalid(resource, object.name(), &errors.0))
}

fn kind(resource: &Resource, object: &Value, old: Option<&Value>, errors: &mut Errors) {
    match resource.collection().as_str() {
        "configmaps" => data::config_map(object, old, errors),
        "controllerrevisions.apps" => revision(object, old, errors),
        "customresourcedefinitions.apiextensions.k8s.io" => definition::check(object, errors),
        "daemonsets.apps" => workload::daemon_set(object, old, errors),
        "deployments.apps" => workload::deployment(object, old, errors),
        "events" => event::check(resource, object, errors),
        "horizontalpodautoscalers.autoscaling" => workload::autoscaler(object, errors),
        "jobs.batch" => workload::job(object, old, errors),
        "leases.coordination.k8s.io" => lease(object, errors),
        "pods" => pod::check(object, old, errors),
        "replicasets.apps" => workload::replica_set(object, old, errors),
        "services" => service::check(object, old, errors),
        "statefulsets.apps" => workload::stateful_set(object, old, errors),
        "secrets" => data::secret(object, old, errors),
        _ => {}
    }
}

/// The broken rules found so far.
#[derive(Debug, Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// An absent number is fine.
    fn not_negative(&mut self, value: &Value, path: &str) {
        if value.as_i64().is_some_and(|number| number < 0) {
            let why = "must be greater than or equal to 0";
            self.add(FieldError::invalid(path, value, why));
        }
    }

    fn one_of(&mut self, value: &Value, known: &[&str], path: &str) {
        if !value.as_str().is_some_and(|text| known.contains(&text)) {
            self.add(FieldError::not_supported(path, value, known));
        }
    }

    fn port(&mut self, value: &Value, path: &str) {
        if !value.as_i64().is_some_and(|number| (1..=65535).contains(&number)) {
            let why = "must be between 1 and 65535, inclusive";
            self.add(FieldError::invalid(path, value, why));
        }
    }

    fn same(&mut self, object: &Value, old: &Value, key: &str, path: &str) {
        if object.get(key) != old.get(key) {
            let why = "field is immutable";
            self.add(FieldError::invalid(format!("{path}.{key}"), &object[key], why));
        }
    }
}

/// The items of a list with their paths.
fn items<'a>(
    value: &'a Value,
    key: &str,
    path: &str,
) -> impl Iterator<Item = (String, &'a Value)> + use<'a> {
    let path = format!("{path}.{key}");
    let items = value[key].as_array().into_iter().flatten().enumerate();
    items.map(move |(at, item)| (format!("{path}[{at}]"), item))
}

fn lease(object: &Value, errors: &mut Errors) {
    let seconds = &object["spec"]["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|number| number <= 0) {
        let why = "must be greater than 0";
        errors.add(FieldError::invalid("spec.leaseDurationSeconds", seconds, why));
    }
    errors.not_negative(&object["spec"]["leaseTransitions"], "spec.leaseTransitions");
}

fn revision(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    if object["data"].is_null() {
        errors.add(FieldError::required("data", "data is mandatory"));
    }
    errors.not_negative(&object["revision"], "revision");
    if old.is_some_and(|old| old["data"] != object["data"]) {
        errors.add(FieldError::invalid("data", &object["data"], "field is immutable"));
    }
}
