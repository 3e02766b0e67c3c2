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

#[derive(Debug)]
pub(super) struct Container {
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
    pub(super) fn new(spec: &Value, now: Instant) -> Self {
        Self {
            name: Arc::from(spec["name"].as_str().unwrap_or_default()),
            image: spec["image"].as_str().unwrap_or_default().to_owned(),
            state: State::Waiting {
                reason: "ContainerCreating",
                message: String::new(),
                until: now,
            },
            ready: false,
            restarts: 0,
            runs: 0,
            last: Value::Null,
            runtime: None,
            back_off: BackOff::default(),
            pull_back_off: BackOff::default(),
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
            "ready": self.ready,
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
