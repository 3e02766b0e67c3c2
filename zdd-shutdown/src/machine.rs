//! The phase machine: a pure function from state, time and input to state.
//!
//! Nothing here reads a clock, a counter or a socket. Times are durations
//! since an arbitrary epoch that the caller chose once.

use std::time::Duration;

use crate::{budget::Budget, phase::Phase};

/// What the machine remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Serving,
    LameDuck { began: Duration },
    Draining { began: Duration, since: Duration, traffic: Traffic },
    Closing { began: Duration, served: bool },
    Hooks { began: Duration },
    Exited,
    Forced,
}

/// Whether something outside moves the traffic to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// A load balancer does; the listener stays open until it has.
    Moves,
    /// Nothing does; waiting for silence could last for ever.
    Stays,
}

/// What happens to the machine.
///
/// Inputs come from threads that race with each other, so an input that does
/// not apply to a state is not an error: it leaves the state as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The program is ready to serve.
    Ready,
    /// The shutdown was asked for.
    Trigger(Traffic),
    /// Time passed; this is what is left to do.
    Observe(Facts),
    /// All hooks returned, failed or timed out.
    HooksDone,
    /// A second signal forbids to wait.
    Force,
}

/// What is left to do, as counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Requests and guards alive.
    pub(crate) in_flight: usize,
    /// Tracked connections alive, upgraded ones included.
    pub(crate) connections: usize,
    /// Tracked listeners alive.
    pub(crate) listeners: usize,
    /// Time since the last new connection that was not a probe, or since the shutdown began.
    pub(crate) quiet_for: Duration,
}

impl State {
    pub(crate) fn phase(self) -> Phase {
        match self {
            Self::Starting => Phase::Starting,
            Self::Serving => Phase::Serving,
            Self::LameDuck { .. } => Phase::LameDuck,
            Self::Draining { .. } => Phase::Draining,
            Self::Closing { .. } => Phase::Closing,
            Self::Hooks { .. } => Phase::Hooks,
            Self::Exited => Phase::Exited,
            Self::Forced => Phase::Forced,
        }
    }

    /// Returns the state that follows. At most one phase is left per call, so
    /// that an observer can be told of each.
    pub(crate) fn apply(self, budget: &Budget, now: Duration, input: Input) -> Self {
        match (self, input) {
            (Self::Exited | Self::Forced, _) => self,
            (_, Input::Force) => Self::Forced,
            (Self::Starting, Input::Ready) => Self::Serving,
            // Nobody was told to come, so nobody has to be led away. What has begun all the
            // same, a job under a guard for one, is finished.
            (Self::Starting, Input::Trigger(_)) => Self::Closing { began: now, served: false },
            (Self::Serving, Input::Trigger(Traffic::Moves)) if !budget.lame_duck.max.is_zero() => {
                Self::LameDuck { began: now }
            }
            // Without a lame duck nobody is expected to move the traffic.
            (Self::Serving, Input::Trigger(_)) => {
                Self::Draining { began: now, since: now, traffic: Traffic::Stays }
            }
            (Self::Hooks { .. }, Input::HooksDone) => Self::Exited,
            (state, Input::Observe(facts)) => state.observe(budget, now, facts),
            (state, Input::Ready | Input::Trigger(_) | Input::HooksDone) => state,
        }
    }

    fn observe(self, budget: &Budget, now: Duration, facts: Facts) -> Self {
        let Some(began) = self.began() else { return self };
        let elapsed = now.saturating_sub(began);
        if elapsed >= budget.deadline {
            return Self::Forced;
        }
        match self {
            Self::LameDuck { .. } => {
                let moved = elapsed >= budget.lame_duck.min && facts.quiet_for >= budget.quiet;
                if moved || elapsed >= budget.lame_duck.max {
                    Self::Draining { began, since: now, traffic: Traffic::Moves }
                } else {
                    self
                }
            }
            Self::Draining { since, traffic, .. } => {
                // By then every client was asked to leave, those of HTTP/2 in this phase only. They
                // come again at once, perhaps here, and that is no silence any more.
                let told = now.saturating_sub(since) >= budget.sweep;
                let empty = facts.in_flight == 0 && facts.connections == 0;
                let drained = match traffic {
                    Traffic::Moves => {
                        facts.in_flight == 0
                            && facts.quiet_for >= budget.quiet
                            && (told || facts.connections == 0)
                    }
                    Traffic::Stays => empty || told,
                };
                if drained || elapsed >= budget.draining_ends() {
                    Self::Closing { began, served: true }
                } else {
                    self
                }
            }
            Self::Closing { served, .. } => {
                // A listener that nobody has begun to accept from is not waited for.
                let closed = facts.listeners == 0 || !served;
                let empty = facts.in_flight + facts.connections == 0 && closed;
                if empty || elapsed >= budget.closing_ends() { Self::Hooks { began } } else { self }
            }
            Self::Starting | Self::Serving | Self::Hooks { .. } | Self::Exited | Self::Forced => {
                self
            }
        }
    }

    /// When the shutdown began, while it is going on.
    fn began(self) -> Option<Duration> {
        match self {
            Self::LameDuck { began }
            | Self::Draining { began, .. }
            | Self::Closing { began, .. }
            | Self::Hooks { began } => Some(began),
            Self::Starting | Self::Serving | Self::Exited | Self::Forced => None,
        }
    }
}

#[cfg(test)]
mod tests;
