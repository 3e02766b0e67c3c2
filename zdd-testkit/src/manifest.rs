//! The objects that a lab begins with.

use serde_json::{Value, json};
use zdd_core::{Target, WorkloadKind};

/// The container's name in every template.
pub(crate) const CONTAINER: &str = "app";

/// Returns a pod template of one container named `app`, with probes and enough grace to drain.
#[must_use]
pub fn template(image: &str) -> Value {
    let probe =
        |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 1 });
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": CONTAINER,
                "image": image,
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "readinessProbe": probe("/readyz"),
                "livenessProbe": probe("/livez"),
            }],
        },
    })
}

/// Returns the workload of a target that runs an image, with Kubernetes' own default settings.
#[must_use]
pub fn workload(target: &Target, image: &str, replicas: u32) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": target.kind.to_string(),
        "metadata": { "name": target.name, "namespace": target.namespace },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": template(image),
        },
    });
    if target.kind != WorkloadKind::DaemonSet {
        object["spec"]["replicas"] = replicas.into();
    }
    if target.kind == WorkloadKind::StatefulSet {
        object["spec"]["serviceName"] = "web".into();
    }
    object
}

/// Returns the Service in front of the workload.
#[must_use]
pub fn service(target: &Target) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web", "namespace": target.namespace },
        "spec": {
            "selector": { "app": "web" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}
