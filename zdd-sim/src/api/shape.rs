//! Checks that an object has the shape of its kind, and removes fields that the kind does not
//! know, as decoding into the server's types does.

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    policy::v1 as policy, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::resource::Resource;
use super::status::ApiStatus;
use super::structural;

/// Shapes an object; returns the paths of what was removed.
///
/// # Errors
/// 400 when a field has a value of another type.
pub(crate) fn fit(resource: &Resource, object: &mut Value) -> Result<Vec<String>, ApiStatus> {
    let mut unknown = Vec::new();
    if let Some(schema) = resource.schema() {
        structural::prune(schema, object, &mut unknown);
        structural::complete(schema, object);
        return Ok(unknown);
    }
    let Some(known) = known(resource, object) else { return Ok(unknown) };
    let known = known.map_err(|error| {
        let error = in_words_of_go(&error.to_string());
        let (kind, version) = (resource.kind(), resource.version());
        ApiStatus::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"
        ))
    })?;
    prune(object, &known, "", &mut unknown);
    Ok(unknown)
}

/// Says in the server's words what a decoder of ours says in its own, where that is short.
fn in_words_of_go(error: &str) -> String {
    let symbol =
        error.strip_prefix("Invalid symbol ").and_then(|rest| rest.split_once(", offset "));
    match symbol.map(|(_, at)| at.trim_end_matches('.')) {
        Some(at) => format!("illegal base64 data at input byte {at}"),
        None => error.to_owned(),
    }
}

fn known(resource: &Resource, object: &Value) -> Option<serde_json::Result<Value>> {
    if resource.is_custom() {
        return None;
    }
    let through = match resource.collection().as_str() {
        "clusterrolebindings.rbac.authorization.k8s.io" => through::<rbac::ClusterRoleBinding>,
        "clusterroles.rbac.authorization.k8s.io" => through::<rbac::ClusterRole>,
        "configmaps" => through::<core::ConfigMap>,
        "controllerrevisions.apps" => through::<apps::ControllerRevision>,
        "customresourcedefinitions.apiextensions.k8s.io" => {
            through::<apiextensions::CustomResourceDefinition>
        }
        "daemonsets.apps" => through::<apps::DaemonSet>,
        "deployments.apps" => through::<apps::Deployment>,
        "endpoints" => through::<core::Endpoints>,
        "endpointslices.discovery.k8s.io" => through::<discovery::EndpointSlice>,
        "events" => through::<core::Event>,
        "horizontalpodautoscalers.autoscaling" => through::<autoscaling::HorizontalPodAutoscaler>,
        "jobs.batch" => through::<batch::Job>,
        "leases.coordination.k8s.io" => through::<coordination::Lease>,
        "limitranges" => through::<core::LimitRange>,
        "namespaces" => through::<core::Namespace>,
        "nodes" => through::<core::Node>,
        "persistentvolumeclaims" => through::<core::PersistentVolumeClaim>,
        "poddisruptionbudgets.policy" => through::<policy::PodDisruptionBudget>,
        "pods" => through::<core::Pod>,
        "replicasets.apps" => through::<apps::ReplicaSet>,
        "resourcequotas" => through::<core::ResourceQuota>,
        "rolebindings.rbac.authorization.k8s.io" => through::<rbac::RoleBinding>,
        "roles.rbac.authorization.k8s.io" => through::<rbac::Role>,
        "secrets" => through::<core::Secret>,
        "serviceaccounts" => through::<core::ServiceAccount>,
        "services" => through::<core::Service>,
        "statefulsets.apps" => through::<apps::StatefulSet>,
        _ => return None,
    };
    Some(through(object))
}

/// Reads an object as its type and writes it again: what is missing then is not part of the type.
fn through<T: DeserializeOwned + Serialize>(object: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(T::deserialize(object)?)
}

/// Keeps what is there and known. What the type adds on its own is not taken over, so that
/// validation sees what was left out.
fn prune(value: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(map), Value::Object(known)) => map.retain(|key, value| {
            if value.is_null() {
                return false;
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match known.get(key) {
                Some(known) => prune(value, known, &path, unknown),
                None => unknown.push(path),
            }
            known.contains_key(key)
        }),
        (Value::Array(items), Value::Array(known)) => {
            for (at, (item, known)) in items.iter_mut().zip(known).enumerate() {
                prune(item, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}
