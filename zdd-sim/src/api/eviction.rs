//! Subresources of pods that are only created: evictions and bindings.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::Caller;
use super::reply::{Reply, json as reply_json};
use super::request::Call;
use super::status::{ApiStatus, Cause, Details};
use super::write::{decode, run};
use crate::collection::Collection;
use crate::controller::meta::replace_condition;
use crate::object::Object;
use crate::store::{Deletion, Part, Store};

/// Evicts a pod, unless a disruption budget forbids it.
pub(crate) fn evict(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    body: &[u8],
) -> Result<Reply, ApiStatus> {
    let eviction = decode(body)?;
    let pod = pod(store, call)?;
    if let Some(budget) = exhausted(store, &pod) {
        return Err(refusal(&budget));
    }
    let options = &eviction["deleteOptions"];
    let deletion = Deletion {
        uid: options.text("/preconditions/uid").map(str::to_owned),
        grace_seconds: options.int("/gracePeriodSeconds"),
        ..Deletion::default()
    };
    run(store, call, |store| {
        let place = (pod.namespace(), pod.name());
        store.delete(&caller.actor, &Collection::PODS, place, &deletion)
    })
    .map_err(|error| ApiStatus::from_store(&call.resource, error))?;
    Ok(reply_json(StatusCode::CREATED, &success()))
}

/// Gives a pod its node.
pub(crate) fn bind(
    store: &mut Store,
    caller: &Caller,
    call: &Call,
    body: &[u8],
) -> Result<Reply, ApiStatus> {
    let binding = decode(body)?;
    let pod = pod(store, call)?;
    let node = binding.text("/target/name").unwrap_or_default().to_owned();
    if let Some(taken) = pod.text("/spec/nodeName") {
        let why = format!("pod {} is already assigned to node \"{taken}\"", pod.name());
        return Err(ApiStatus::conflict(&Collection::new("pods/binding"), pod.name(), why));
    }
    run(store, call, |store| {
        let place = (pod.namespace(), pod.name());
        store.modify(&caller.actor, &Collection::PODS, Part::Main, place, |pod| {
            pod["spec"]["nodeName"] = node.into();
        })?;
        let condition = json!({
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": store.clock().stamp(),
        });
        store.modify(&caller.actor, &Collection::PODS, Part::Status, place, |pod| {
            replace_condition(&mut pod["status"], condition);
        })
    })
    .map_err(|error| ApiStatus::from_store(&call.resource, error))?;
    Ok(reply_json(StatusCode::CREATED, &success()))
}

fn pod(store: &Store, call: &Call) -> Result<Arc<Value>, ApiStatus> {
    let pod = store.get(&Collection::PODS, &call.namespace, call.name());
    pod.cloned().ok_or_else(|| ApiStatus::not_found(&Collection::PODS, call.name()))
}

/// The first budget of the pod that allows no disruption now. A pod that is not ready does not
/// count, and can go.
fn exhausted(store: &Store, pod: &Value) -> Option<Arc<Value>> {
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        { conditions }.any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    if !ready(pod) {
        return None;
    }
    let namespace = Some(pod.namespace());
    let mut budgets = store.list(&Collection::POD_DISRUPTION_BUDGETS, namespace);
    let covers = |budget: &Value, pod: &Value| {
        let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
        wanted.is_some_and(|wanted| {
            wanted.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
        })
    };
    budgets
        .find(|budget| {
            if !covers(budget, pod) {
                return false;
            }
            let pods = store.list(&Collection::PODS, namespace).filter(|it| covers(budget, it));
            let pods: Vec<_> = pods.filter(|pod| !pod.is_terminating()).collect();
            let healthy = pods.iter().filter(|pod| ready(pod)).count();
            healthy <= least(&budget["spec"], pods.len())
        })
        .cloned()
}

/// How many pods must stay healthy.
fn least(spec: &Value, pods: usize) -> usize {
    let share = |value: &Value| match value.as_str().and_then(|text| text.strip_suffix('%')) {
        Some(percent) => (percent.parse::<usize>().unwrap_or_default() * pods).div_ceil(100),
        None => value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default(),
    };
    if spec.get("minAvailable").is_some() {
        share(&spec["minAvailable"])
    } else {
        pods.saturating_sub(share(&spec["maxUnavailable"]))
    }
}

fn refusal(budget: &Value) -> ApiStatus {
    let name = budget.name();
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = ApiStatus::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
    status.details = Some(Box::new(Details {
        causes: vec![Cause {
            reason: "DisruptionBudget".into(),
            message: format!("The disruption budget {name} does not allow another disruption now"),
            field: String::new(),
        }],
        ..Details::default()
    }));
    status
}

fn success() -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    })
}
