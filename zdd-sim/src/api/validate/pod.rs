//! Pods and the templates that make them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Errors, FieldError, items, meta};

const UPDATABLE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const HANDLERS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];

/// Checks a pod.
pub(super) fn check(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    spec(&object["spec"], "spec", errors);
    if let Some(old) = old
        && fixed(&object["spec"]) != fixed(&old["spec"])
    {
        errors.add(FieldError::forbidden("spec", UPDATABLE));
    }
}

/// Checks a template.
pub(super) fn template(template: &Value, path: &str, errors: &mut Errors) {
    meta::labels(&template["metadata"]["labels"], &format!("{path}.labels"), errors);
    spec(&template["spec"], &format!("{path}.spec"), errors);
}

/// What of a pod never changes.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        let items = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in items.into_iter().flatten().filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    if let Some(map) = spec.as_object_mut() {
        map.remove("activeDeadlineSeconds");
        map.remove("tolerations");
    }
    spec
}

fn spec(spec: &Value, path: &str, errors: &mut Errors) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.add(FieldError::required(format!("{path}.containers"), ""));
    }
    let volumes: BTreeSet<&str> =
        items(spec, "volumes", path).filter_map(|(_, volume)| volume["name"].as_str()).collect();
    let mut names = BTreeSet::new();
    for list in ["containers", "initContainers"] {
        for (path, item) in items(spec, list, path) {
            container(item, &path, errors);
            mounts(item, &volumes, &path, errors);
            let name = item["name"].as_str().unwrap_or_default();
            if !names.insert(name) {
                errors.add(FieldError::duplicate(format!("{path}.name"), &item["name"]));
            }
        }
    }
    let policies = ["Always", "OnFailure", "Never"];
    errors.one_of(&spec["restartPolicy"], &policies, &format!("{path}.restartPolicy"));
    let grace = format!("{path}.terminationGracePeriodSeconds");
    errors.not_negative(&spec["terminationGracePeriodSeconds"], &grace);
}

fn container(container: &Value, path: &str, errors: &mut Errors) {
    let empty = |key: &str| container[key].as_str().is_none_or(str::is_empty);
    if empty("name") {
        errors.add(FieldError::required(format!("{path}.name"), ""));
    } else {
        meta::label(&container["name"], &format!("{path}.name"), errors);
    }
    if empty("image") {
        errors.add(FieldError::required(format!("{path}.image"), ""));
    }
    ports(container, path, errors);
    for (path, variable) in items(container, "env", path) {
        if variable["name"].as_str().is_none_or(str::is_empty) {
            errors.add(FieldError::required(format!("{path}.name"), ""));
        }
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    errors.one_of(&container["imagePullPolicy"], &policies, &format!("{path}.imagePullPolicy"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[name].is_object() {
            probe(&container[name], name, &format!("{path}.{name}"), errors);
        }
    }
}

fn ports(container: &Value, path: &str, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (path, port) in items(container, "ports", path) {
        if let Some(name) = port["name"].as_str()
            && !names.insert(name)
        {
            errors.add(FieldError::duplicate(format!("{path}.name"), &port["name"]));
        }
        if port["containerPort"].as_i64().unwrap_or_default() == 0 {
            errors.add(FieldError::required(format!("{path}.containerPort"), ""));
        } else {
            errors.port(&port["containerPort"], &format!("{path}.containerPort"));
        }
        let protocols = ["SCTP", "TCP", "UDP"];
        errors.one_of(&port["protocol"], &protocols, &format!("{path}.protocol"));
    }
}

fn mounts(container: &Value, volumes: &BTreeSet<&str>, path: &str, errors: &mut Errors) {
    for (path, mount) in items(container, "volumeMounts", path) {
        match mount["name"].as_str() {
            None | Some("") => errors.add(FieldError::required(format!("{path}.name"), "")),
            Some(name) if !volumes.contains(name) => {
                errors.add(FieldError::not_found(format!("{path}.name"), &mount["name"]));
            }
            Some(_) => {}
        }
        if mount["mountPath"].as_str().is_none_or(str::is_empty) {
            errors.add(FieldError::required(format!("{path}.mountPath"), ""));
        }
    }
}

fn probe(probe: &Value, name: &str, path: &str, errors: &mut Errors) {
    match HANDLERS.iter().filter(|handler| probe.get(**handler).is_some()).count() {
        0 => errors.add(FieldError::required(path, "must specify a handler type")),
        1 => {}
        _ => errors.add(FieldError::forbidden(
            format!("{path}.httpGet"),
            "may not specify more than 1 handler type",
        )),
    }
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"] {
        errors.not_negative(&probe[key], &format!("{path}.{key}"));
    }
    let successes = &probe["successThreshold"];
    errors.not_negative(successes, &format!("{path}.successThreshold"));
    if name != "readinessProbe" && successes.as_i64().is_some_and(|number| number != 1) {
        errors.add(FieldError::invalid(format!("{path}.successThreshold"), successes, "must be 1"));
    }
}
