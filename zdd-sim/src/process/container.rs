//! The life of one run of a container: probes, the order to stop, the end.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::orders::Orders;
use super::running::{Control, Exit, Running};
use crate::kubelet::{ContainerId, ContainerLog};
use crate::probe::{Action, Checks, Judge, Probe, Target, Verdict};

/// A container always gets so long between SIGTERM and SIGKILL, even when preStop has used up the
/// grace period or there was none (`minimumGracePeriodInSeconds` in pkg/kubelet/kuberuntime).
const MINIMUM_GRACE: Duration = Duration::from_secs(2);

/// How soon a probe that has just failed for the first time is tried again.
const FIRST_EARLY_TRY: Duration = Duration::from_millis(20);

/// Which probe speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three probes of the API")]
pub enum ProbeKind {
    /// Ends the container when it fails.
    Liveness,
    /// Decides whether the container gets traffic.
    Readiness,
    /// Holds the others back until it passes.
    Startup,
}

impl ProbeKind {
    /// Returns the word that the kubelet's events use: `Readiness probe failed: …`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Startup => "Startup",
        }
    }
}

/// What happens to a container, in the order in which it happens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ContainerEvent {
    /// It ended; the last event of a run.
    Exited(Exit),
    /// Its preStop handler failed or did not end in time; it is stopped all the same.
    PreStopFailed(String),
    /// Its readiness changed. A container without a readiness probe is ready once it has started.
    Ready(bool),
    /// The process runs.
    Running {
        /// Its process id; `None` for a service in this process.
        pid: Option<i32>,
    },
    /// Its startup probe passed, or there is none.
    Started,
    /// A probe failed so often that the container is stopped.
    Stopping(ProbeKind),
    /// One try of a probe failed.
    Unhealthy {
        /// The probe.
        probe: ProbeKind,
        /// Why.
        message: String,
    },
}

/// Takes in events, from any thread.
pub(super) type Sink = Arc<dyn Fn(&ContainerId, ContainerEvent) + Send + Sync>;

/// Sends a container's events.
pub(super) struct Reporter {
    pub(super) id: ContainerId,
    pub(super) events: Sink,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Reporter {
    fn report(&self, event: ContainerEvent) {
        tracing::debug!(pod = %self.id.pod, container = %self.id.container, ?event, "container");
        (self.events)(&self.id, event);
    }
}

/// One run of a container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) checks: Checks,
    pub(super) target: Target,
    pub(super) reporter: Reporter,
    pub(super) orders: Orders,
    /// The pod's grace, for a stop that a probe orders.
    pub(super) grace: Duration,
}

impl Container {
    /// Supervises a run to its end. `ended` is dropped before the last event is sent, so that its
    /// receiver can start the next run.
    pub(super) async fn supervise(
        self,
        mut running: Running,
        (ended, log): (DropGuard, ContainerLog),
    ) {
        self.reporter.report(ContainerEvent::Running { pid: running.control().pid() });
        let control = running.control().clone();
        let exit = tokio::select! {
            // First, so that nothing is sent to a process that has ended.
            biased;
            exit = running.wait() => exit,
            never = self.live(&control) => match never {},
        };
        log.end();
        drop(ended);
        self.reporter.report(ContainerEvent::Exited(exit));
    }

    async fn live(&self, control: &Control) -> Infallible {
        let start = Instant::now();
        let started = CancellationToken::new();
        let stop = async {
            // Startup and liveness end with the order to stop; readiness goes on, because a
            // terminating pod that is ready may still get traffic.
            tokio::select! {
                biased;
                () = self.orders.ordered() => {}
                () = self.health(start, &started) => {}
            }
            self.stop(control).await
        };
        tokio::select! {
            never = stop => never,
            never = self.readiness(start, &started) => never,
        }
    }

    /// Runs startup and liveness probes until one of them has ordered a stop.
    async fn health(&self, start: Instant, started: &CancellationToken) {
        let failed = |kind, probe: &Probe| {
            self.reporter.report(ContainerEvent::Stopping(kind));
            self.orders.stop(probe.grace.unwrap_or(self.grace));
        };
        if let Some(probe) = &self.checks.startup
            && self.prober(ProbeKind::Startup, probe, start).verdict().await == Verdict::Failing
        {
            return failed(ProbeKind::Startup, probe);
        }
        self.reporter.report(ContainerEvent::Started);
        started.cancel();
        let Some(probe) = &self.checks.liveness else { return pending().await };
        let mut prober = self.prober(ProbeKind::Liveness, probe, start);
        while prober.verdict().await == Verdict::Passing {}
        failed(ProbeKind::Liveness, probe);
    }

    async fn readiness(&self, start: Instant, started: &CancellationToken) -> Infallible {
        started.cancelled().await;
        let Some(probe) = &self.checks.readiness else {
            self.reporter.report(ContainerEvent::Ready(true));
            return pending().await;
        };
        let mut prober = self.prober(ProbeKind::Readiness, probe, start);
        let mut ready = false;
        loop {
            let now = prober.verdict().await == Verdict::Passing;
            // The first verdict may be a failure, which changes nothing: it was not ready.
            if now != ready {
                ready = now;
                self.reporter.report(ContainerEvent::Ready(ready));
            }
        }
    }

    /// Stops the container as ordered: preStop, SIGTERM, SIGKILL.
    async fn stop(&self, control: &Control) -> Infallible {
        if let Some(action) = &self.checks.pre_stop
            && let Err(message) = self.pre_stop(action).await
        {
            self.reporter.report(ContainerEvent::PreStopFailed(message));
        }
        control.terminate();
        self.orders.expired(Instant::now() + MINIMUM_GRACE).await;
        control.kill();
        pending().await
    }

    /// A handler that takes longer than the grace period is given up. No handler starts when there
    /// is no grace at all.
    async fn pre_stop(&self, action: &Action) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.orders.expired(Instant::now()) => Err("no grace period is left".to_owned()),
            done = action.run(&self.target, Duration::MAX) => done,
        }
    }

    fn prober<'a>(&'a self, kind: ProbeKind, probe: &'a Probe, start: Instant) -> Prober<'a> {
        let first = (start + probe.initial_delay).max(Instant::now());
        let mut ticks = interval_at(first, probe.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Prober { kind, probe, ticks, judge: Judge::new(probe), early: None, container: self }
    }
}

/// Runs a probe at its period, and more often until it first passes.
///
/// The API allows the latter for readiness probes, "to make the Pod ready faster". A try between
/// two periods counts only when it passes: thresholds are in periods.
struct Prober<'a> {
    kind: ProbeKind,
    probe: &'a Probe,
    ticks: Interval,
    judge: Judge,
    /// The wait before the next try between two periods.
    early: Option<Duration>,
    container: &'a Container,
}

/// Why a probe is due.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Due {
    Early,
    Period,
}

impl Prober<'_> {
    /// Probes until the verdict changes.
    async fn verdict(&mut self) -> Verdict {
        loop {
            let due = self.due().await;
            let result = self.probe.action.run(&self.container.target, self.probe.timeout).await;
            self.plan(due, result.is_ok());
            let result = match result {
                Ok(()) => Verdict::Passing,
                Err(_) if due == Due::Early => continue,
                Err(message) => {
                    let event = ContainerEvent::Unhealthy { probe: self.kind, message };
                    self.container.reporter.report(event);
                    Verdict::Failing
                }
            };
            if let Some(verdict) = self.judge.record(result) {
                return verdict;
            }
        }
    }
    async fn due(&mut self) -> Due {
        let early = async {
            match self.early {
                Some(wait) => tokio::time::sleep(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.ticks.tick() => Due::Period,
            () = early => Due::Early,
        }
    }

    /// Plans the next try: early ones begin with the first failure, double their wait, and end
    /// with the first success.
    fn plan(&mut self, due: Due, passed: bool) {
        self.early = match (self.early, due) {
            _ if passed || self.judge.has_passed() || self.kind == ProbeKind::Liveness => None,
            (Some(wait), Due::Early) => Some((wait * 2).min(self.probe.period)),
            (Some(wait), Due::Period) => Some(wait),
            (None, _) => Some(FIRST_EARLY_TRY),
        };
    }
}
