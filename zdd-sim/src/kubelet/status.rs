//! Writes the status of a pod as the kubelet does.

use serde_json::{Value, json};

use super::container::{Container, Role, State};
use crate::controller::meta::{condition, replace_condition};
use crate::object::Object;

/// Builds the status of a pod from its containers.
pub(super) fn status(pod: &Value, containers: &[Container], facts: &Facts<'_>) -> Value {
    let mut status = pod["status"].clone();
    status["phase"] = phase(pod, containers).into();
    status["hostIP"] = facts.host_ip.into();
    status["hostIPs"] = json!([{"ip": facts.host_ip}]);
    if let Some(ip) = facts.pod_ip {
        status["podIP"] = ip.into();
        status["podIPs"] = json!([{"ip": ip}]);
    }
    if status["startTime"].is_null() {
        status["startTime"] = facts.stamp.clone();
    }
    let (main, init): (Vec<&Container>, Vec<&Container>) =
        containers.iter().partition(|container| container.role == Role::Main);
    status["containerStatuses"] = main.into_iter().map(Container::status).collect();
    if !init.is_empty() {
        status["initContainerStatuses"] = init.into_iter().map(Container::status).collect();
    }
    status["observedGeneration"] = pod.generation().into();
    conditions(&mut status, pod, containers, facts);
    status
}

/// What the status says besides the containers.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) host_ip: &'a str,
    pub(super) pod_ip: Option<&'a str>,
    pub(super) stamp: &'a Value,
}

fn phase(pod: &Value, containers: &[Container]) -> &'static str {
    let ended = |container: &Container| match container.state {
        State::Ended { code, .. } => Some(code),
        State::Running { .. } | State::Starting { .. } | State::Waiting { .. } => None,
    };
    let restarts = pod.text("/spec/restartPolicy").unwrap_or("Always");
    let (main, init): (Vec<&Container>, Vec<&Container>) =
        containers.iter().partition(|container| container.role == Role::Main);
    let is_incomplete =
        |container: &&&Container| container.role == Role::Init && ended(container) != Some(0);
    if let Some(init) = init.iter().find(is_incomplete) {
        let failed = ended(init).is_some() && (restarts == "Never" || pod.is_terminating());
        return if failed { "Failed" } else { "Pending" };
    }
    // A pod is over when its sidecars are.
    let sidecar_runs = init.iter().any(|container| container.is_alive());
    let containers = main;
    let codes: Vec<i32> = containers.iter().copied().filter_map(ended).collect();
    let failed = codes.iter().any(|code| *code != 0);
    let is_last = pod.is_terminating() || restarts == "Never" || restarts == "OnFailure" && !failed;
    if codes.len() == containers.len() && is_last && !containers.is_empty() && !sidecar_runs {
        return if failed { "Failed" } else { "Succeeded" };
    }
    let waiting = |container: &&Container| {
        let is_waiting = matches!(container.state, State::Starting { .. } | State::Waiting { .. });
        is_waiting && container.runs == 0
    };
    if containers.iter().any(waiting) { "Pending" } else { "Running" }
}

fn conditions(status: &mut Value, pod: &Value, containers: &[Container], facts: &Facts<'_>) {
    let phase = status["phase"].as_str().unwrap_or_default().to_owned();
    let has_ended = matches!(phase.as_str(), "Failed" | "Succeeded");
    let incomplete: Vec<&str> = containers
        .iter()
        .filter(|container| match container.role {
            Role::Init => !matches!(container.state, State::Ended { code: 0, .. }),
            Role::Main => false,
            Role::Sidecar => !matches!(container.state, State::Running { .. }),
        })
        .map(|container| &*container.name)
        .collect();
    let initialized = if incomplete.is_empty() || phase == "Succeeded" {
        Verdict::Yes
    } else {
        let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
        Verdict::not("ContainersNotInitialized", message)
    };
    let unready: Vec<&str> = containers
        .iter()
        .filter(|container| !container.ready && container.role != Role::Init)
        .map(|container| &*container.name)
        .collect();
    let containers_ready = if has_ended {
        Verdict::not("PodCompleted", String::new())
    } else if unready.is_empty() {
        Verdict::Yes
    } else {
        let message = format!("containers with unready status: [{}]", unready.join(" "));
        Verdict::not("ContainersNotReady", message)
    };
    let ready = match &containers_ready {
        Verdict::Yes => gates(pod)
            .map_or(Verdict::Yes, |message| Verdict::not("ReadinessGatesNotReady", message)),
        no @ Verdict::No { .. } => no.clone(),
    };
    let sandbox = if facts.pod_ip.is_some() && !has_ended {
        Verdict::Yes
    } else {
        Verdict::not("", String::new())
    };
    for (kind, verdict) in [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Verdict::Yes),
    ] {
        set(status, kind, &verdict, facts.stamp);
    }
}

#[derive(Clone, Debug)]
enum Verdict {
    No { reason: &'static str, message: String },
    Yes,
}

impl Verdict {
    fn not(reason: &'static str, message: String) -> Self {
        Self::No { reason, message }
    }
}

/// Writes a condition in its place; the transition time moves with the status only.
fn set(status: &mut Value, kind: &str, verdict: &Verdict, stamp: &Value) {
    let truth = match verdict {
        Verdict::No { .. } => "False",
        Verdict::Yes => "True",
    };
    let old = condition(status, kind);
    let since = old.filter(|old| old["status"] == truth).map(|old| &old["lastTransitionTime"]);
    let mut new = json!({
        "type": kind,
        "status": truth,
        "lastProbeTime": null,
        "lastTransitionTime": since.unwrap_or(stamp),
    });
    if let Verdict::No { reason, message } = verdict {
        for (key, text) in [("reason", *reason), ("message", message.as_str())] {
            if !text.is_empty() {
                new[key] = text.into();
            }
        }
    }
    let conditions = status["conditions"].as_array_mut();
    let place = conditions.and_then(|all| all.iter_mut().find(|old| old["type"] == kind));
    match place {
        Some(place) => *place = new,
        None => replace_condition(status, new),
    }
}

/// Returns the complaint about the readiness gates that do not hold.
fn gates(pod: &Value) -> Option<String> {
    let gates = pod["spec"]["readinessGates"].as_array()?;
    let complaints = gates.iter().filter_map(|gate| {
        let kind = gate["conditionType"].as_str()?;
        match condition(&pod["status"], kind).map(|condition| &condition["status"]) {
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{kind}\" does not exist."
            )),
            Some(truth) if truth != "True" => Some(format!(
                "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                truth.as_str().unwrap_or_default()
            )),
            Some(_) => None,
        }
    });
    let text = complaints.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}
