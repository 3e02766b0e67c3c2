//! Fills in what an object leaves out, as the server does when it decodes one.

mod pod;

use serde_json::{Value, json};

use super::resource::Resource;
use crate::collection::Collection;
use crate::object::Object;

/// Completes an object of a built-in kind.
///
/// Values are those of the API's `SetDefaults_` functions of Kubernetes 1.37.
pub(crate) fn complete(resource: &Resource, object: &mut Value) {
    if resource.is_custom() {
        return;
    }
    match resource.collection().as_str() {
        "customresourcedefinitions.apiextensions.k8s.io" => definition(object),
        "daemonsets.apps" => daemon_set(object),
        "deployments.apps" => deployment(object),
        "endpointslices.discovery.k8s.io" => endpoint_slice(object),
        "horizontalpodautoscalers.autoscaling" => autoscaler(object),
        "jobs.batch" => job(object),
        "namespaces" => namespace(object),
        "pods" => pod::complete(object),
        "replicasets.apps" => {
            put(&mut object["spec"], "replicas", 1);
            pod::complete_template(&mut object["spec"]["template"]);
        }
        "secrets" => secret(object),
        "services" => service(object),
        "statefulsets.apps" => stateful_set(object),
        _ => {}
    }
}

/// Completes a pod, also one that a controller makes.
pub(crate) fn complete_pod(object: &mut Value) {
    pod::complete(object);
}

/// Adds the empty status with which the objects of a kind begin.
pub(crate) fn first_status(resource: &Resource, object: &mut Value) {
    if resource.is_custom() || !resource.has_status() {
        return;
    }
    let status = match resource.collection().as_str() {
        "daemonsets.apps" => json!({
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        }),
        "horizontalpodautoscalers.autoscaling" => {
            json!({ "currentMetrics": null, "desiredReplicas": 0 })
        }
        "namespaces" => json!({ "phase": "Active" }),
        "poddisruptionbudgets.policy" => json!({
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        }),
        "pods" => json!({ "phase": "Pending", "qosClass": pod::qos_class(object) }),
        "replicasets.apps" => json!({ "replicas": 0 }),
        "services" => json!({ "loadBalancer": {} }),
        "statefulsets.apps" => json!({ "availableReplicas": 0, "replicas": 0 }),
        _ => json!({}),
    };
    object["status"] = status;
}

/// Adds what depends on the object's uid: a Job finds its pods by it.
pub(crate) fn of_identity(resource: &Resource, object: &mut Value) {
    if resource.collection() != &Collection::JOBS || object["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (object.uid().to_owned(), object.name().to_owned());
    let spec = &mut object["spec"];
    let template = &mut spec["template"]["metadata"];
    if template.is_null() {
        *template = json!({});
    }
    put(template, "labels", json!({}));
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        template["labels"][key] = value.as_str().into();
    }
    let labels = template["labels"].clone();
    let selected = json!({ "batch.kubernetes.io/controller-uid": uid });
    put(spec, "selector", json!({ "matchLabels": selected }));
    put(&mut object["metadata"], "labels", labels);
}

/// Sets a field that is absent, null or empty text.
fn put(map: &mut Value, key: &str, value: impl Into<Value>) {
    if !(map.is_object() || map.is_null()) {
        // What is no map is left for validation to refuse.
        return;
    }
    let absent = match map.get(key) {
        Some(Value::String(text)) => text.is_empty(),
        Some(found) => found.is_null(),
        None => true,
    };
    if absent {
        map[key] = value.into();
    }
}

/// The items of a list field, none when it is no list.
fn each<'a>(map: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "progressDeadlineSeconds", 600);
    put(spec, "strategy", json!({}));
    let strategy = &mut spec["strategy"];
    put(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        put(strategy, "rollingUpdate", json!({}));
        put(&mut strategy["rollingUpdate"], "maxUnavailable", "25%");
        put(&mut strategy["rollingUpdate"], "maxSurge", "25%");
    }
    pod::complete_template(&mut spec["template"]);
}

fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "podManagementPolicy", "OrderedReady");
    put(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    if strategy["type"].as_str().unwrap_or_default().is_empty() {
        put(strategy, "rollingUpdate", json!({}));
    }
    put(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
        put(&mut strategy["rollingUpdate"], "partition", 0);
        put(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
    }
    put(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    put(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenDeleted", "Retain");
    put(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenScaled", "Retain");
    pod::complete_template(&mut spec["template"]);
}

fn daemon_set(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    put(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        put(strategy, "rollingUpdate", json!({}));
        put(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
        put(&mut strategy["rollingUpdate"], "maxSurge", 0);
    }
    pod::complete_template(&mut spec["template"]);
}

fn job(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if let Some(labels) = labels {
        put(&mut object["metadata"], "labels", labels);
    }
    let spec = &mut object["spec"];
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        put(spec, "completions", 1);
    }
    put(spec, "parallelism", 1);
    put(spec, "backoffLimit", 6);
    put(spec, "completionMode", "NonIndexed");
    put(spec, "suspend", false);
    put(spec, "podReplacementPolicy", "TerminatingOrFailed");
    put(spec, "manualSelector", false);
    pod::complete_template(&mut spec["template"]);
}

fn definition(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "conversion", json!({ "strategy": "None" }));
    let names = &mut spec["names"];
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    put(names, "listKind", format!("{kind}List"));
    put(names, "singular", kind.to_lowercase());
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "sessionAffinity", "None");
    put(spec, "type", "ClusterIP");
    if spec["sessionAffinity"] == "ClientIP" {
        put(spec, "sessionAffinityConfig", json!({ "clientIP": { "timeoutSeconds": 10800 } }));
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort") {
        put(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        put(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind != "ExternalName" {
        put(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in each(spec, "ports") {
        put(port, "protocol", "TCP");
        let number = port["port"].clone();
        if port["targetPort"] == 0 {
            port["targetPort"] = Value::Null;
        }
        put(port, "targetPort", number);
    }
}

/// Counts the templates of a DaemonSet in its annotation, which clients cannot set.
pub(crate) fn count_templates(object: &mut Value, old: Option<&Value>) {
    const COUNT: &str = "deprecated.daemonset.template.generation";
    let before = old.and_then(|old| old["metadata"]["annotations"][COUNT].as_str());
    let before = before.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    let same = old.is_some_and(|old| old["spec"]["template"] == object["spec"]["template"]);
    let count = if same { before } else { before + 1 };
    object["metadata"]["annotations"][COUNT] = count.to_string().into();
}

fn endpoint_slice(object: &mut Value) {
    // Go writes a list that is empty in the store as one that is not there.
    for list in ["endpoints", "ports"] {
        if object[list].as_array().is_none_or(Vec::is_empty) {
            object[list] = Value::Null;
        }
    }
    for port in each(object, "ports") {
        put(port, "protocol", "TCP");
        if port.get("name").is_none() {
            port["name"] = "".into();
        }
    }
}

fn autoscaler(object: &mut Value) {
    let spec = &mut object["spec"];
    put(spec, "minReplicas", 1);
    put(
        spec,
        "metrics",
        json!([{
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": { "type": "Utilization", "averageUtilization": 80 },
            },
        }]),
    );
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    put(&mut object["metadata"], "labels", json!({}));
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    put(object, "spec", json!({}));
    put(&mut object["spec"], "finalizers", json!(["kubernetes"]));
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    put(object, "type", "Opaque");
    let Some(Value::Object(texts)) =
        object.as_object_mut().and_then(|map| map.remove("stringData"))
    else {
        return;
    };
    for (key, text) in texts {
        let text = text.as_str().unwrap_or_default();
        object["data"][key] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
}
