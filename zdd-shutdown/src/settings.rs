//! Settings that are not shares of the deadline.

use std::time::Duration;

use crate::budget::{self, Budget};

/// When the readiness probe starts to fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadinessPolicy {
    /// As soon as the shutdown begins. Right for load balancers that probe the
    /// pod, for restarts by the liveness probe, and outside Kubernetes.
    #[default]
    FlipAtSignal,
    /// When the listener closes. Right for a single replica and for
    /// `externalTrafficPolicy: Local`: kube-proxy falls back to a terminating
    /// pod only while that pod is ready.
    FlipAtClose,
}

/// When the process counts as ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadyWhen {
    /// When this crate's serve loop starts to accept.
    #[default]
    Listening,
    /// When [`Readiness::mark_ready`](crate::Readiness::mark_ready) is called.
    Marked,
}

/// What a second SIGTERM does. SIGINT or SIGQUIT as a second signal always ends the process.
///
/// Signals are counted, not reasons: where the program has begun the shutdown itself, the
/// first signal changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecondSignal {
    /// Forces the exit outside Kubernetes; is ignored inside, where a
    /// restarted kubelet repeats the signal in the middle of a good drain.
    #[default]
    Auto,
    /// Forces the exit, if at least a second has passed since the first.
    Force,
    /// Is ignored.
    Ignore,
}

/// What happens to idle HTTP/1 connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdleClose {
    /// The server closes them after the sweep. Once per connection, a request
    /// can cross the close on the wire; its client has to repeat it.
    #[default]
    AfterSweep,
    /// The client closes them, or the end of Closing does: no request can
    /// cross the close, and the drain takes as long as clients keep idle
    /// connections.
    WaitForPeer,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) in_cluster: bool,
    pub(crate) readiness: ReadinessPolicy,
    pub(crate) ready_when: ReadyWhen,
    pub(crate) second_signal: SecondSignal,
    pub(crate) second_signal_code: Option<u8>,
    pub(crate) probe_paths: Vec<String>,
    pub(crate) limits: Limits,
}

/// Limits that a single connection meets while the process drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long a new connection may take to send its first byte.
    pub(crate) first_request_grace: Duration,
    /// How long a client may stall, and how long a request head may take.
    pub(crate) slow_client: Duration,
    /// How long an HTTP/2 client without streams may take to answer the PING.
    pub(crate) pong_cap: Duration,
    /// How long an HTTP/1 connection must have been idle before it is closed.
    pub(crate) sweep: Duration,
    pub(crate) idle_close: IdleClose,
    /// How long unread input is discarded after the last response.
    pub(crate) linger: Duration,
    /// How long beyond Closing a client may take to learn that its request is refused.
    pub(crate) last_words: Duration,
}

impl Limits {
    /// Takes what the deadline leaves time for.
    pub(crate) fn take(&mut self, budget: &Budget) {
        self.first_request_grace = budget.first_request_grace;
        self.slow_client = budget.slow_client;
        self.pong_cap = budget.pong_cap;
        self.sweep = budget.sweep;
        self.last_words = budget.last_words();
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_cluster: false,
            readiness: ReadinessPolicy::default(),
            ready_when: ReadyWhen::default(),
            second_signal: SecondSignal::default(),
            second_signal_code: None,
            probe_paths: ["/livez", "/readyz", "/healthz"].map(str::to_owned).to_vec(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_request_grace: budget::FIRST_REQUEST_GRACE,
            slow_client: budget::SLOW_CLIENT,
            pong_cap: budget::PONG_CAP,
            sweep: budget::SWEEP,
            idle_close: IdleClose::default(),
            linger: Duration::from_secs(1),
            last_words: budget::LAST_WORDS,
        }
    }
}
