//! One container as the kubelet sees it, with its back-off.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::image::RuntimeKind;

/// The first wait between two restarts, and its limit.
const MIN_BACK_OFF: Duration = Duration::from_secs(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);

/// What a container does at the moment.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Its process ended.
    Ended { code: i32, started: Value, finished: Value },
    /// Its process runs.
    Running { started: Value },
    /// The runtime was asked to start it; until it runs, the status shows what was before.
    Starting { shown: Value },
    /// It waits to be started; `until` is the next try.
    Waiting { reason: &'static str, message: String, until: Instant },
}

/// What a container is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Ends before the next container starts.
    Init,
    /// Does the pod's work.
    Main,
    /// Starts before the next container and runs beside the others.
    Sidecar,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) role: Role,
    /// Where its description is in the list of its kind.
    index: usize,
    pub(super) name: Arc<str>,
    pub(super) image: String,
    pub(super) state: State,
    pub(super) ready: bool,
    /// How often it was started again, as the status shows it.
    pub(super) restarts: u32,
    /// How often its process ran.
    pub(super) runs: u32,
    /// `lastState`, null before the first end.
    pub(super) last: Value,
    pub(super) runtime: Option<RuntimeKind>,
    pub(super) back_off: BackOff,
    pub(super) pull_back_off: BackOff,
}

impl Container {
    /// The containers of a pod in the order of their start.
    pub(super) fn all(pod: &Value, now: Instant) -> Vec<Self> {
        let list = |key: &str| pod["spec"][key].as_array().map_or(&[][..], Vec::as_slice);
        let first = list("initContainers").iter().enumerate().map(|(index, spec)| {
            let role = if spec["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init };
            Self::new((role, index), spec, "PodInitializing", now)
        });
        let waits_for =
            if list("initContainers").is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let main = list("containers")
            .iter()
            .enumerate()
            .map(|(index, spec)| Self::new((Role::Main, index), spec, waits_for, now));
        first.chain(main).collect()
    }

    fn new((role, index): (Role, usize), spec: &Value, reason: &'static str, now: Instant) -> Self {
        Self {
            role,
            index,
            name: Arc::from(spec["name"].as_str().unwrap_or_default()),
            image: spec["image"].as_str().unwrap_or_default().to_owned(),
            state: State::Waiting { reason, message: String::new(), until: now },
            ready: false,
            restarts: 0,
            runs: 0,
            last: Value::Null,
            runtime: None,
            back_off: BackOff::default(),
            pull_back_off: BackOff::default(),
        }
    }

    /// Returns its description in the pod.
    pub(super) fn spec<'a>(&self, pod: &'a Value) -> &'a Value {
        let list = match self.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::Main => "containers",
        };
        &pod["spec"][list][self.index]
    }

    /// Tells whether the next container may start.
    fn lets_go_on(&self) -> bool {
        match self.role {
            Role::Init => matches!(self.state, State::Ended { code: 0, .. }),
            Role::Main => true,
            Role::Sidecar => self.is_running(),
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Tells whether the containers before this one let it start.
    pub(super) fn is_released(index: usize, all: &[Self]) -> bool {
        all.iter().take(index).all(Self::lets_go_on)
    }

    /// Tells whether a process that ended is not started again.
    pub(super) fn has_finished(&self, policy: &str) -> bool {
        let State::Ended { code, .. } = self.state else { return false };
        match self.role {
            Role::Init => code == 0 || policy == "Never",
            Role::Main => policy == "Never" || policy == "OnFailure" && code == 0,
            Role::Sidecar => false,
        }
    }

    /// Tells whether a process exists or is about to.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Starting { .. })
    }

    pub(super) fn wait(&mut self, reason: &'static str, message: String, until: Instant) {
        self.state = State::Waiting { reason, message, until };
    }

    /// Notes that its process runs.
    pub(super) fn begin(&mut self, time: &str) {
        self.restarts = self.runs;
        self.runs += 1;
        self.state = State::Running { started: time.into() };
    }

    /// Returns `state` as the status shows it.
    pub(super) fn shown(&self) -> Value {
        match &self.state {
            State::Ended { code, started, finished } => ended(*code, started, finished),
            State::Running { started } => json!({"running": {"startedAt": started}}),
            State::Starting { shown } => shown.clone(),
            State::Waiting { reason, message, .. } if message.is_empty() => {
                json!({"waiting": {"reason": reason}})
            }
            State::Waiting { reason, message, .. } => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
        }
    }

    pub(super) fn status(&self) -> Value {
        let last = if self.last.is_null() { json!({}) } else { self.last.clone() };
        json!({
            "name": &*self.name,
            "image": self.image,
            "imageID": self.image,
            "ready": self.ready || self.role == Role::Init && self.lets_go_on(),
            "started": matches!(self.state, State::Running { .. }),
            "restartCount": self.restarts,
            "state": self.shown(),
            "lastState": last,
        })
    }
}

/// The state of a container that ended.
pub(super) fn ended(code: i32, started: &Value, finished: &Value) -> Value {
    json!({"terminated": {
        "exitCode": code,
        "reason": if code == 0 { "Completed" } else { "Error" },
        "startedAt": started,
        "finishedAt": finished,
    }})
}

/// The kubelet's exponential back-off: 10 s, doubled up to 300 s; forgotten after ten minutes
/// without a failure.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    wait: Option<Duration>,
    last: Option<Instant>,
}

impl BackOff {
    /// Counts a failure and returns how long to wait for the next try: not at all for the first.
    pub(super) fn fail(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now - last > 2 * MAX_BACK_OFF) {
            self.wait = None;
        }
        self.last = Some(now);
        let wait = self.wait;
        self.wait = Some(wait.map_or(MIN_BACK_OFF, |wait| (wait * 2).min(MAX_BACK_OFF)));
        wait.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn back_off_doubles_from_ten_seconds_to_five_minutes_and_is_forgotten() {
        let mut back_off = BackOff::default();
        let mut now = Instant::now();
        let waits: Vec<u64> = (0..8)
            .map(|_| {
                let wait = back_off.fail(now);
                now += wait;
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        now += Duration::from_secs(601);
        assert_eq!(back_off.fail(now), Duration::ZERO);
    }
}
