//! Tells from a pod's status what keeps it from running. Pure.

use zdd_core::{Trouble, TroubleKind};

use crate::objects::{
    ContainerStatus, Pod, PodConditionKind, PodPhase, Terminated, Truth, WaitingReason,
};

/// Returns the first trouble of a pod: init containers come first, because the others wait for
/// them.
pub(crate) fn trouble(pod: &Pod) -> Option<Trouble> {
    let status = &pod.status;
    match status.phase {
        // Ended by its node, for good: its controller replaces it.
        PodPhase::Failed | PodPhase::Succeeded => return None,
        PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => {}
    }
    let init = status.init_container_statuses.iter().map(|container| (container, Role::Init));
    let main = status.container_statuses.iter().map(|container| (container, Role::Main));
    init.chain(main).find_map(|(container, role)| of_container(container, role)).or_else(|| {
        let unschedulable = status.conditions.iter().find(|condition| {
            condition.r#type == PodConditionKind::PodScheduled
                && condition.status == Truth::False
                && condition.reason == "Unschedulable"
        });
        unschedulable.map(|condition| Trouble::new(TroubleKind::Unschedulable, &condition.message))
    })
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Role {
    /// Is to end, with success.
    Init,
    /// Is to run for ever.
    Main,
}

fn of_container(container: &ContainerStatus, role: Role) -> Option<Trouble> {
    let waiting = container.state.waiting.as_ref().and_then(|waiting| {
        let kind = kind(waiting.reason)?;
        // A back-off says only how long it will be; why the container ended is in its last state.
        let last = container.last_state.terminated.as_ref();
        let message = match last {
            Some(last) if kind == TroubleKind::Crash => ended(last),
            _ => waiting.message.clone(),
        };
        Some((kind, message))
    });
    let terminated = container.state.terminated.as_ref().and_then(|terminated| {
        let success = role == Role::Init && terminated.exit_code == 0;
        (!success).then(|| match terminated.reason.as_str() {
            "ContainerCannotRun" | "StartError" => (TroubleKind::Run, terminated.message.clone()),
            _ => (TroubleKind::Crash, ended(terminated)),
        })
    });
    let (kind, message) = waiting.or(terminated)?;
    let mut trouble = Trouble::new(kind, message);
    trouble.container = Some(container.name.clone());
    trouble.restarts = container.restart_count;
    Some(trouble)
}

fn kind(reason: WaitingReason) -> Option<TroubleKind> {
    Some(match reason {
        WaitingReason::CrashLoopBackOff => TroubleKind::Crash,
        WaitingReason::CreateContainerConfigError => TroubleKind::Config,
        WaitingReason::ErrImageNeverPull
        | WaitingReason::ErrImagePull
        | WaitingReason::ImageInspectError
        | WaitingReason::ImagePullBackOff
        | WaitingReason::InvalidImageName
        | WaitingReason::RegistryUnavailable => TroubleKind::Image,
        WaitingReason::ContainerCannotRun
        | WaitingReason::CreateContainerError
        | WaitingReason::RunContainerError => TroubleKind::Run,
        WaitingReason::Other => return None,
    })
}

fn ended(how: &Terminated) -> String {
    let mut text = match how.signal {
        0 => format!("exit code {}", how.exit_code),
        signal => format!("signal {signal}"),
    };
    if !how.reason.is_empty() {
        text = format!("{text} ({})", how.reason);
    }
    match how.message.trim() {
        "" => text,
        message => format!("{text}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(status: &Value, expected: Option<&str>) {
        let pod: Pod = serde_json::from_value(json!({ "status": status })).unwrap();
        let told = trouble(&pod).map(|it| format!("{it} x{}", it.restarts));
        assert_eq!(told.as_deref(), expected, "{status}");
    }

    fn container(state: &Value) -> Value {
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "app", "restartCount": 2, "state": state }] })
    }

    fn waiting(reason: &str) -> Value {
        container(&json!({ "waiting": { "reason": reason, "message": "why" } }))
    }

    #[test]
    fn a_pod_that_starts_or_runs_has_no_trouble() {
        check(&json!({}), None);
        check(&waiting("ContainerCreating"), None);
        check(&waiting("PodInitializing"), None);
        check(&container(&json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } })), None);
    }

    #[test]
    fn reasons_to_wait_are_told_apart() {
        check(&waiting("CrashLoopBackOff"), Some("container app: crash: why x2"));
        for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"]
        {
            check(&waiting(reason), Some("container app: image: why x2"));
        }
        check(&waiting("CreateContainerConfigError"), Some("container app: configuration: why x2"));
        for reason in ["RunContainerError", "ContainerCannotRun", "CreateContainerError"] {
            check(&waiting(reason), Some("container app: run: why x2"));
        }
    }

    #[test]
    fn a_back_off_tells_how_the_container_ended() {
        let status = json!({ "phase": "Running", "containerStatuses": [{
            "name": "app", "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
        }] });
        check(&status, Some("container app: crash: exit code 137 (OOMKilled) x3"));
    }

    #[test]
    fn an_end_is_a_crash_except_for_init_containers_that_succeed() {
        let ended =
            |code: i32| json!({ "terminated": { "exitCode": code, "message": "no database" } });
        check(&container(&ended(1)), Some("container app: crash: exit code 1: no database x2"));
        check(&container(&ended(0)), Some("container app: crash: exit code 0: no database x2"));
        let init = |code: i32| json!({ "initContainerStatuses": [{ "name": "init", "state": ended(code) }] });
        check(&init(0), None);
        check(&init(1), Some("container init: crash: exit code 1: no database x0"));
    }

    #[test]
    fn a_pod_that_no_node_takes_is_unschedulable() {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        });
        let status = json!({ "phase": "Pending", "conditions": [condition] });
        check(&status, Some("unschedulable: 0/3 nodes are available x0"));
    }

    #[test]
    fn a_pod_that_its_node_ended_is_left_to_its_controller() {
        let state = json!({ "terminated": { "exitCode": 137 } });
        let statuses = json!([{ "name": "app", "state": state }]);
        check(
            &json!({ "phase": "Failed", "reason": "Evicted", "containerStatuses": statuses }),
            None,
        );
    }
}
