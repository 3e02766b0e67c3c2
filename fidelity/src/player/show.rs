//! Answers and events as lines.

use serde_json::{Value, json};

use crate::command::Show;
use crate::http::Answer;
use crate::names::Names;
use crate::path::{Path, flatten};

/// Returns the lines of an answer.
pub(super) fn answer(names: &mut Names, show: &Show, answer: &Answer) -> Vec<String> {
    let reason = answer.code.canonical_reason().unwrap_or_default();
    let mut lines = vec![format!("{} {reason}", answer.code.as_u16())];
    for warning in answer.headers.get_all("warning") {
        let warning = String::from_utf8_lossy(warning.as_bytes()).into_owned();
        lines.push(format!("warning: {}", names.text(&warning)));
    }
    if let Some(after) = answer.headers.get("retry-after") {
        lines.push(format!("retry-after: {}", String::from_utf8_lossy(after.as_bytes())));
    }
    let is_status = answer.body["kind"] == "Status";
    if !is_status && answer.body.get("items").is_none() {
        names.learn(&answer.body);
    }
    match (show, answer.body.get("items").and_then(Value::as_array)) {
        _ if is_status => status(names, &answer.body, &mut lines),
        (Show::Code, _) => {}
        (_, Some(items)) => list(names, show, &answer.body, items, &mut lines),
        (_, None) => object(names, show, &answer.body, &mut lines),
    }
    lines
}

fn status(names: &mut Names, body: &Value, lines: &mut Vec<String>) {
    let mut body = names.value(body);
    if let Some(map) = body.as_object_mut() {
        for key in ["apiVersion", "code", "kind", "metadata", "status"] {
            map.remove(key);
        }
        if !map.is_empty() {
            flatten("", &body, lines);
        }
    }
}

fn object(names: &mut Names, show: &Show, body: &Value, lines: &mut Vec<String>) {
    let mut body = names.value(body);
    match show {
        Show::Code => {}
        Show::Body => {
            if let Some(metadata) = body.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            flatten("", &body, lines);
        }
        Show::Paths(paths) => {
            sort_managers(&mut body);
            paths.iter().for_each(|path| one(path, &body, lines));
        }
    }
}

fn one(path: &Path, body: &Value, lines: &mut Vec<String>) {
    for path in path.each(body) {
        match path.find(body) {
            Some(value) => flatten(&path.to_string(), value, lines),
            None => lines.push(format!("{path} is absent")),
        }
    }
}

/// Who wrote first within a second is not told.
fn sort_managers(body: &mut Value) {
    let managers = body.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    if let Some(managers) = managers {
        managers.sort_by_key(|entry| {
            ["manager", "operation", "subresource"].map(|key| entry[key].to_string())
        });
    }
}

fn list(names: &mut Names, show: &Show, body: &Value, items: &[Value], lines: &mut Vec<String>) {
    let head = names.value(&json!({"metadata": body["metadata"], "items": []}));
    flatten("metadata", &head["metadata"], lines);
    let mut items = items.to_vec();
    if items.iter().any(is_generated) {
        // The order is that of names, and these are random: the order of what is known instead.
        items.sort_by_cached_key(|object| {
            let mut names = names.clone();
            names.learn(object);
            row(&mut names, show, object)
        });
    }
    for object in &items {
        names.learn(object);
        lines.push(format!("- {}", row(names, show, object)));
    }
}

fn is_generated(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let hashed = ["pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash"];
    let numbered = metadata["labels"].get("apps.kubernetes.io/pod-index").is_some();
    (metadata.get("generateName").is_some() && !numbered)
        || object.get("involvedObject").is_some()
        || hashed.iter().any(|label| metadata["labels"].get(label).is_some())
}

/// An object of a list or of an event in one line.
fn row(names: &mut Names, show: &Show, object: &Value) -> String {
    let object = names.value(object);
    let mut parts = vec![object["metadata"]["name"].as_str().unwrap_or_default().to_owned()];
    match show {
        Show::Code => {}
        Show::Body => {
            let mut object = object.clone();
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                metadata.remove("name");
            }
            flatten("", &object, &mut parts);
        }
        Show::Paths(paths) => paths.iter().for_each(|path| one(path, &object, &mut parts)),
    }
    let name = parts.remove(0);
    format!("{name} {}", parts.join(", ").replace(": ", "=")).trim_end().to_owned()
}

/// Returns the lines of events; equal ones that follow each other are one.
pub(super) fn events(names: &mut Names, show: &Show, events: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().unwrap_or_default();
        let object = &event["object"];
        let line = match kind {
            "ERROR" => {
                let mut lines = Vec::new();
                status(names, object, &mut lines);
                format!("ERROR {} {}", object["code"], lines.join(", "))
            }
            "BOOKMARK" => {
                let annotations = names.value(&object["metadata"]["annotations"]);
                format!("BOOKMARK {} {annotations}", object["kind"])
            }
            _ => {
                names.learn(object);
                let show = if matches!(show, Show::Body) { &Show::Code } else { show };
                format!("{kind} {}", row(names, show, object))
            }
        };
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines
}
