//! What controllers know about pods: phase, readiness, availability, creation from a template.

use std::cmp::Ordering;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::controller::meta::{condition, is_true, time};
use crate::object::Object;

/// Tells whether a pod still counts: neither ended nor terminating (`IsPodActive`).
pub(crate) fn is_active(pod: &Value) -> bool {
    !has_ended(pod) && !pod.is_terminating()
}

/// Tells whether a pod is terminating and has not ended (`IsPodTerminating`).
pub(crate) fn is_terminating(pod: &Value) -> bool {
    !has_ended(pod) && pod.is_terminating()
}

/// Tells whether all containers of a pod have ended for good.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(pod.text("/status/phase"), Some("Failed" | "Succeeded"))
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    is_true(pod, "Ready")
}

/// The only node that the affinity of a pod allows: that of a DaemonSet's pod.
pub(crate) fn pinned_node(pod: &Value) -> Option<&str> {
    let path = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/\
                nodeSelectorTerms/0/matchFields/0";
    let field = pod.pointer(path)?;
    (field["key"] == "metadata.name").then(|| field["values"][0].as_str()).flatten()
}

/// Since when a pod is ready.
pub(crate) fn ready_since(pod: &Value) -> Option<Timestamp> {
    let ready = condition(&pod["status"], "Ready").filter(|ready| ready["status"] == "True")?;
    time(&ready["lastTransitionTime"])
}

/// When a pod counts as available; `None` while it is not ready.
///
/// Kubernetes writes whole seconds, so a pod may count as available up to a second early, here as
/// there.
pub(crate) fn available_at(pod: &Value, min_ready_seconds: i64) -> Option<Timestamp> {
    let since = ready_since(pod)?;
    since.checked_add(k8s_openapi::jiff::SignedDuration::from_secs(min_ready_seconds)).ok()
}

pub(crate) fn is_available(pod: &Value, min_ready_seconds: i64, now: Timestamp) -> bool {
    available_at(pod, min_ready_seconds).is_some_and(|at| at <= now)
}

/// How long until the next of the ready pods becomes available.
pub(crate) fn next_available<'a>(
    pods: impl IntoIterator<Item = &'a Value>,
    min_ready_seconds: i64,
    now: Timestamp,
) -> Option<Duration> {
    let waits = pods.into_iter().filter_map(|pod| available_at(pod, min_ready_seconds));
    let next = waits.filter(|at| *at > now).min()?;
    Duration::try_from(next.duration_since(now)).ok()
}

/// Makes a pod from the template of its owner (`GetPodFromTemplate`).
pub(crate) fn from_template(
    owner: &Value,
    template: &Value,
    name: &str,
    owner_ref: &Value,
) -> Value {
    let mut metadata = json!({
        "name": name,
        "namespace": owner.namespace(),
        "ownerReferences": [owner_ref],
    });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(key) {
            metadata[key] = value.clone();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template["spec"].clone(),
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    })
}

/// Orders pods as the ReplicaSet controller deletes them: the first ones go first
/// (`ActivePodsWithRanks.Less`).
///
/// `doubled` is the number of related pods on the node of each pod.
pub(crate) fn deletion_order(
    (a, doubled_a): (&Value, usize),
    (b, doubled_b): (&Value, usize),
    now: Timestamp,
) -> Ordering {
    let unassigned = |pod: &Value| pod.text("/spec/nodeName").is_none_or(str::is_empty);
    let phase = |pod: &Value| match pod.text("/status/phase") {
        Some("Pending") => 0,
        Some("Running") => 2,
        _ => 1,
    };
    let by_state = unassigned(b)
        .cmp(&unassigned(a))
        .then(phase(a).cmp(&phase(b)))
        .then(is_ready(a).cmp(&is_ready(b)))
        .then(deletion_cost(a).cmp(&deletion_cost(b)))
        .then(doubled_b.cmp(&doubled_a));
    if by_state != Ordering::Equal {
        return by_state;
    }
    if let (Some(since_a), Some(since_b)) = (ready_since(a), ready_since(b))
        && since_a != since_b
    {
        return by_age(since_a, since_b, now).then_with(|| a.uid().cmp(b.uid()));
    }
    let by_restarts = restarts(b).cmp(&restarts(a));
    let created = |pod: &Value| time(&pod["metadata"]["creationTimestamp"]);
    by_restarts.then_with(|| match (created(a), created(b)) {
        (Some(created_a), Some(created_b)) if created_a != created_b => {
            by_age(created_a, created_b, now).then_with(|| a.uid().cmp(b.uid()))
        }
        // The real sort is not stable here; the uid keeps runs alike.
        _ => a.uid().cmp(b.uid()),
    })
}

/// Younger goes first, but only when the ages differ by a power of two (LogarithmicScaleDown).
fn by_age(a: Timestamp, b: Timestamp, now: Timestamp) -> Ordering {
    let rank = |since: Timestamp| {
        let nanos = now.duration_since(since).as_nanos();
        u128::try_from(nanos).ok().and_then(u128::checked_ilog2).map_or(-1, i64::from)
    };
    rank(a).cmp(&rank(b))
}

fn deletion_cost(pod: &Value) -> i64 {
    let cost = pod.annotation("controller.kubernetes.io/pod-deletion-cost");
    cost.and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

fn restarts(pod: &Value) -> i64 {
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    statuses.filter_map(|status| status["restartCount"].as_i64()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
