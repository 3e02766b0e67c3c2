//! What the admission of every cluster does with new pods: the plugins ServiceAccount, Priority and
//! DefaultTolerationSeconds.

use serde_json::{Value, json};

use super::super::defaults;
use super::ApiStatus;
use crate::collection::Collection;
use crate::object::Object;
use crate::store::Store;

/// How long a pod stays on a node that is lost, unless it says otherwise.
const PATIENCE_SECONDS: u32 = 300;

/// Completes a new pod.
///
/// # Errors
/// 403 when the account that it names is not there.
pub(super) fn admit(store: &Store, pod: &mut Value) -> Result<(), ApiStatus> {
    defaults::complete_pod(pod);
    account(store, pod)?;
    let spec = &mut pod["spec"];
    if spec.get("priority").is_none() {
        spec["priority"] = 0.into();
    }
    if spec.get("preemptionPolicy").is_none() {
        spec["preemptionPolicy"] = "PreemptLowerPriority".into();
    }
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        tolerate(spec, key);
    }
    Ok(())
}

fn account(store: &Store, pod: &mut Value) -> Result<(), ApiStatus> {
    let name = pod.text("/spec/serviceAccountName").unwrap_or_default().to_owned();
    let name = if name.is_empty() { "default".to_owned() } else { name };
    let namespace = pod.namespace();
    let accounts = Collection::new("serviceaccounts");
    // Every namespace gets the default account; without controllers nobody makes it.
    if name != "default" && store.get(&accounts, namespace, &name).is_none() {
        let why = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not \
             found"
        );
        return Err(ApiStatus::forbidden(&Collection::PODS, pod.name(), why));
    }
    pod["spec"]["serviceAccountName"] = name.as_str().into();
    pod["spec"]["serviceAccount"] = name.into();
    Ok(())
}

fn tolerate(spec: &mut Value, key: &str) {
    let tolerated = |toleration: &Value| {
        let effect = toleration["effect"].as_str().unwrap_or_default();
        let other = toleration["key"].as_str().is_some_and(|other| other != key);
        !other && matches!(effect, "" | "NoExecute")
    };
    let tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    if tolerations.iter().any(tolerated) {
        return;
    }
    let more = json!({
        "key": key,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": PATIENCE_SECONDS,
    });
    spec["tolerations"] = tolerations.into_iter().chain([more]).collect();
}
