//! References of a container to ConfigMaps and Secrets that must exist before it starts.

use serde_json::Value;

use crate::collection::Collection;
use crate::store::Store;

/// Returns the message of `CreateContainerConfigError`, or `None` when all that is needed exists.
pub(super) fn missing_reference(
    store: &Store,
    namespace: &str,
    container: &Value,
) -> Option<String> {
    let whole = container["envFrom"].as_array().into_iter().flatten();
    let whole = whole.flat_map(|source| {
        [("configmap", &source["configMapRef"]), ("secret", &source["secretRef"])]
    });
    let keys = container["env"].as_array().into_iter().flatten();
    let keys = keys.flat_map(|variable| {
        let source = &variable["valueFrom"];
        [("configmap", &source["configMapKeyRef"]), ("secret", &source["secretKeyRef"])]
    });
    let references = whole.chain(keys).filter(|(_, reference)| reference.is_object());
    references
        .filter(|(_, reference)| reference["optional"] != true)
        .find_map(|(kind, reference)| complaint(store, namespace, kind, reference))
}

fn complaint(store: &Store, namespace: &str, kind: &str, reference: &Value) -> Option<String> {
    let name = reference["name"].as_str().unwrap_or_default();
    let collection = match kind {
        "configmap" => Collection::CONFIG_MAPS,
        _ => Collection::new("secrets"),
    };
    let Some(object) = store.get(&collection, namespace, name) else {
        return Some(format!("{kind} \"{name}\" not found"));
    };
    let key = reference["key"].as_str()?;
    let is_there = ["data", "binaryData"].iter().any(|part| !object[*part][key].is_null());
    let title = if kind == "configmap" { "ConfigMap" } else { "Secret" };
    (!is_there).then(|| format!("couldn't find key {key} in {title} {namespace}/{name}"))
}
