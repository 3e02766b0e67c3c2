//! What a pod's row says about its containers (`printPod` in pkg/printers).

use serde_json::Value;

use super::column::Row;
use super::duration::age;
use crate::object::Object;

/// What the columns of a pod have in common.
struct Summary {
    ready: usize,
    containers: usize,
    reason: String,
    restarts: i64,
    /// When a container ended last before it was started again.
    restarted: Option<String>,
}

pub(super) fn ready(row: &Row<'_>) -> Value {
    let Summary { ready, containers, .. } = Summary::of(row.object);
    format!("{ready}/{containers}").into()
}

pub(super) fn status(row: &Row<'_>) -> Value {
    Summary::of(row.object).reason.into()
}

pub(super) fn restarts(row: &Row<'_>) -> Value {
    let Summary { restarts, restarted, .. } = Summary::of(row.object);
    match restarted {
        Some(at) if restarts > 0 => format!("{restarts} ({} ago)", age(&at.into(), row.now)).into(),
        _ => restarts.to_string().into(),
    }
}

pub(super) fn readiness_gates(row: &Row<'_>) -> Value {
    let gates = row.object["spec"]["readinessGates"].as_array().map_or(&[][..], Vec::as_slice);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|gate| {
        let kind = gate["conditionType"].as_str().unwrap_or_default();
        is_true(row.object, kind)
    });
    format!("{}/{}", open.count(), gates.len()).into()
}

fn is_true(pod: &Value, kind: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|it| it["type"] == kind && it["status"] == "True")
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let containers = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
        let phase = pod.text("/status/phase").unwrap_or_default();
        let reason = pod.text("/status/reason").filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or(phase).to_owned();
        let mut all = Self { ready: 0, containers, reason, restarts: 0, restarted: None };
        let gated = "SchedulingGated";
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.into_iter().any(|it| it["type"] == "PodScheduled" && it["reason"] == gated) {
            all.reason = gated.to_owned();
        }
        if !all.initializing(pod) || is_true(pod, "Initialized") {
            all.main(pod);
        }
        if pod.is_terminating() {
            if pod.text("/status/reason") == Some("NodeLost") {
                all.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Failed" | "Succeeded") {
                all.reason = "Terminating".to_owned();
            }
        }
        all
    }

    fn count(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or_default();
        if let Some(at) = container.text("/lastState/terminated/finishedAt")
            && self.restarted.as_deref().is_none_or(|before| before < at)
        {
            self.restarted = Some(at.to_owned());
        }
    }

    /// Looks at the init containers; tells whether one of them has still to end well.
    fn initializing(&mut self, pod: &Value) -> bool {
        let specs = pod["spec"]["initContainers"].as_array().map_or(&[][..], Vec::as_slice);
        let stays = |name: &Value| {
            specs.iter().any(|spec| spec["name"] == *name && spec["restartPolicy"] == "Always")
        };
        self.containers += specs.iter().filter(|spec| spec["restartPolicy"] == "Always").count();
        let statuses = pod["status"]["initContainerStatuses"].as_array().into_iter().flatten();
        for (at, container) in statuses.enumerate() {
            self.count(container);
            let state = &container["state"];
            let code = state["terminated"]["exitCode"].as_i64();
            if code == Some(0) {
                continue;
            }
            if stays(&container["name"]) && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            }
            self.reason = match (code, state.text("/waiting/reason")) {
                (Some(code), _) => format!("Init:{}", ended(state, code)),
                (None, Some(reason)) if reason != "PodInitializing" => format!("Init:{reason}"),
                _ => format!("Init:{at}/{}", specs.len()),
            };
            return true;
        }
        false
    }

    fn main(&mut self, pod: &Value) {
        (self.restarts, self.restarted) = (0, None);
        let (mut running, mut error) = (false, None);
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        for container in statuses.rev() {
            self.count(container);
            let state = &container["state"];
            if let Some(reason) = state.text("/waiting/reason") {
                self.reason = reason.to_owned();
            } else if let Some(code) = state["terminated"]["exitCode"].as_i64() {
                self.reason = ended(state, code);
                if code != 0 {
                    error = Some(self.reason.clone());
                }
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && is_true(pod, "Ready") {
                self.reason = "Running".to_owned();
            } else if let Some(error) = error {
                self.reason = error;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn ended(state: &Value, code: i64) -> String {
    let signal = state["terminated"]["signal"].as_i64().unwrap_or_default();
    match state.text("/terminated/reason").unwrap_or_default() {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{code}"),
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(status: &Value, expected: &str) {
        let pod = json!({
            "spec": { "containers": [{ "name": "a" }], "initContainers": [{ "name": "i" }] },
            "status": status,
        });
        let all = Summary::of(&pod);
        let found = format!("{}/{} {} {}", all.ready, all.containers, all.reason, all.restarts);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_pod_is_named_by_what_keeps_it() {
        check(&json!({ "phase": "Pending" }), "0/1 Pending 0");
        let running = json!({ "ready": true, "restartCount": 2, "state": { "running": {} } });
        check(&json!({ "phase": "Running", "containerStatuses": [running] }), "1/1 Running 2");
        let waiting =
            json!({ "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } } });
        let status = json!({ "phase": "Running", "containerStatuses": [waiting] });
        check(&status, "0/1 CrashLoopBackOff 3");
        let done = json!({ "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } });
        check(&json!({ "phase": "Succeeded", "containerStatuses": [done] }), "0/1 Completed 0");
    }

    #[test]
    fn a_pod_in_its_beginning_is_named_by_its_init_container() {
        let init = |state: Value| json!({ "phase": "Pending", "initContainerStatuses": [{ "name": "i", "state": state }] });
        check(&init(json!({ "running": {} })), "0/1 Init:0/1 0");
        check(&init(json!({ "waiting": { "reason": "PodInitializing" } })), "0/1 Init:0/1 0");
        let error = json!({ "terminated": { "exitCode": 1, "reason": "Error" } });
        check(&init(error), "0/1 Init:Error 0");
    }
}
