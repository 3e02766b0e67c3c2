//! The objects that the examples deploy.

use serde_json::{Value, json};

/// The name of Deployment, Service and container.
pub const NAME: &str = "web";
/// Seconds that a pod gets to end. More than the drain of the service, which is 30 s at most.
const GRACE: u32 = 35;

/// Returns a Deployment of the example service.
#[must_use]
pub fn deployment(namespace: &str, image: &str, replicas: u32) -> Value {
    let probe = |path: &str, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "http" },
            "periodSeconds": 1,
            "failureThreshold": failures,
        })
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": NAME } },
            "template": {
                "metadata": { "labels": { "app": NAME } },
                "spec": {
                    "terminationGracePeriodSeconds": GRACE,
                    "containers": [{
                        "name": NAME,
                        "image": image,
                        "env": [
                            { "name": "POD_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                            { "name": "PORT", "value": "8080" },
                            { "name": "ZDD_TERMINATION_GRACE", "value": GRACE.to_string() },
                        ],
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                        "readinessProbe": probe("/readyz", 1),
                        "livenessProbe": probe("/livez", 3),
                    }],
                },
            },
        },
    })
}

/// Returns the Service in front of it.
#[must_use]
pub fn service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": NAME, "namespace": namespace },
        "spec": {
            "selector": { "app": NAME },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}
