//! Defaults of pods and of the templates that make them.

use serde_json::{Value, json};

use super::{each, put};

/// Completes a pod.
pub(super) fn complete(object: &mut Value) {
    let spec = &mut object["spec"];
    complete_spec(spec);
    put(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            requests_follow_limits(container);
        }
    }
}

/// Completes a template; some defaults are set in pods only.
pub(super) fn complete_template(template: &mut Value) {
    if template.is_object() {
        complete_spec(&mut template["spec"]);
    }
}

fn complete_spec(spec: &mut Value) {
    put(spec, "dnsPolicy", "ClusterFirst");
    put(spec, "restartPolicy", "Always");
    put(spec, "securityContext", json!({}));
    put(spec, "terminationGracePeriodSeconds", 30);
    put(spec, "schedulerName", "default-scheduler");
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        spec["serviceAccount"] = account;
    }
    for list in ["containers", "ephemeralContainers", "initContainers"] {
        for container in each(spec, list) {
            complete_container(container);
        }
    }
    for volume in each(spec, "volumes") {
        complete_volume(volume);
    }
}

fn complete_container(container: &mut Value) {
    let policy = pull_policy(container["image"].as_str().unwrap_or_default());
    put(container, "imagePullPolicy", policy);
    put(container, "terminationMessagePath", "/dev/termination-log");
    put(container, "terminationMessagePolicy", "File");
    put(container, "resources", json!({}));
    for port in each(container, "ports") {
        put(port, "protocol", "TCP");
    }
    for variable in each(container, "env") {
        if let Some(field) = variable.pointer_mut("/valueFrom/fieldRef") {
            put(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            complete_probe(probe);
        }
    }
    for hook in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        if let Some(get) = container.pointer_mut(hook) {
            complete_http_get(get);
        }
    }
}

fn complete_probe(probe: &mut Value) {
    for (key, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe[key] == 0 {
            probe[key] = Value::Null;
        }
        put(probe, key, value);
    }
    if let Some(get) = probe.get_mut("httpGet") {
        complete_http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc")
        && grpc.get("service").is_none()
    {
        grpc["service"] = "".into();
    }
}

fn complete_http_get(get: &mut Value) {
    put(get, "path", "/");
    put(get, "scheme", "HTTP");
}

fn complete_volume(volume: &mut Value) {
    let sources =
        volume.as_object().map_or(0, |map| map.keys().filter(|key| *key != "name").count());
    if sources == 0 {
        put(volume, "emptyDir", json!({}));
    }
    for source in ["configMap", "downwardAPI", "projected", "secret"] {
        if let Some(source) = volume.get_mut(source) {
            put(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = volume.get_mut("hostPath")
        && path.get("type").is_none()
    {
        path["type"] = "".into();
    }
}

/// An image without tag means the newest one, which must be asked for each time.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let (name, digest) = name.split_once('@').map_or((name, false), |(name, _)| (name, true));
    match name.split_once(':') {
        Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
        None if digest => "IfNotPresent",
        None => "Always",
    }
}

fn requests_follow_limits(container: &mut Value) {
    let Some(limits) = container.pointer("/resources/limits").and_then(Value::as_object).cloned()
    else {
        return;
    };
    let resources = &mut container["resources"];
    put(resources, "requests", json!({}));
    for (key, value) in limits {
        put(&mut resources["requests"], &key, value);
    }
}

/// Returns the quality-of-service class, which follows from requests and limits.
pub(super) fn qos_class(pod: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers =
        lists.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten());
    let (mut any, mut all) = (false, true);
    for container in containers {
        for key in ["cpu", "memory"] {
            let limit = container["resources"]["limits"].get(key);
            let request = container["resources"]["requests"].get(key);
            any |= limit.is_some() || request.is_some();
            all &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
