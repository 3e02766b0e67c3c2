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
use crate::controller::disruption;
use crate::controller::meta::replace_condition;
use crate::controller::pods::is_ready;
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
    if let Some((budget, state)) = exhausted(store, &pod) {
        return Err(refusal(&budget, state));
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
/// count, and can go. The status of a budget is not asked: it lags.
fn exhausted(store: &Store, pod: &Value) -> Option<(Arc<Value>, disruption::State)> {
    if !is_ready(pod) {
        return None;
    }
    let budgets = store.list(&Collection::POD_DISRUPTION_BUDGETS, Some(pod.namespace()));
    let states = budgets
        .filter(|budget| disruption::covers(budget, pod))
        .map(|budget| (Arc::clone(budget), disruption::State::of(store, budget)));
    { states }.find(|(_, state)| state.allowed() == 0)
}

fn refusal(budget: &Value, state: disruption::State) -> ApiStatus {
    let name = budget.name();
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut status = ApiStatus::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
    status.details = Some(Box::new(Details {
        causes: vec![Cause {
            reason: "DisruptionBudget".into(),
            message: format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                state.desired, state.healthy
            ),
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
