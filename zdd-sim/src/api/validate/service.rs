//! Services.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Errors, FieldError, items, meta};

/// Checks a Service.
pub(super) fn check(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = &object["spec"];
    let kind = spec["type"].as_str().unwrap_or_default();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let headless = spec["clusterIP"] == "None";
    let no_ports = spec["ports"].as_array().is_none_or(Vec::is_empty);
    if no_ports && !headless && kind != "ExternalName" {
        errors.add(FieldError::required("spec.ports", ""));
    }
    if kind == "ExternalName" && spec["externalName"].as_str().is_none_or(str::is_empty) {
        errors.add(FieldError::required("spec.externalName", ""));
    }
    ports(spec, errors);
    meta::labels(&spec["selector"], "spec.selector", errors);
    errors.one_of(&spec["sessionAffinity"], &["ClientIP", "None"], "spec.sessionAffinity");
    errors.one_of(&spec["type"], &kinds, "spec.type");
    let Some(old) = old.map(|old| &old["spec"]) else { return };
    let kept = old["type"] != "ExternalName" && kind != "ExternalName";
    if kept && old["clusterIP"].is_string() && old["clusterIP"] != spec["clusterIP"] {
        let why = "may not change once set";
        errors.add(FieldError::invalid("spec.clusterIPs[0]", &spec["clusterIPs"], why));
    }
}

fn ports(spec: &Value, errors: &mut Errors) {
    let several = spec["ports"].as_array().is_some_and(|ports| ports.len() > 1);
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for (path, port) in items(spec, "ports", "spec") {
        let name = port["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            if several {
                errors.add(FieldError::required(format!("{path}.name"), ""));
            }
        } else {
            meta::label(&port["name"], &format!("{path}.name"), errors);
            if !names.insert(name) {
                errors.add(FieldError::duplicate(format!("{path}.name"), &port["name"]));
            }
        }
        errors.port(&port["port"], &format!("{path}.port"));
        errors.one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &format!("{path}.protocol"));
        if port["targetPort"].is_number() {
            errors.port(&port["targetPort"], &format!("{path}.targetPort"));
        }
        if !numbers.insert((port["port"].to_string(), port["protocol"].to_string())) {
            let pair = serde_json::json!({ "port": port["port"], "protocol": port["protocol"] });
            errors.add(FieldError::duplicate(path, &pair));
        }
    }
}
