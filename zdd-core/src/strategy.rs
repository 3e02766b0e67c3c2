//! The trait of deployment strategies, and what they decide.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observation::Observation;
use crate::outcome::Reason;
use crate::snapshot::Settings;
use crate::step::Step;
use crate::target::WorkloadKind;

/// Decides what a rollout does next.
///
/// A strategy is a pure function of what was observed: no async, no clock, no
/// client, no state of its own. What it has to remember it marks as a
/// [`Milestone`], which the journal keeps with its time. The same function
/// drives the real rollout, the printed plan and the replay after a crash.
///
/// # Examples
/// ```
/// use zdd_core::{Decision, DeploymentStrategy, Observation, Settings, Step, Wait};
///
/// /// Sets the template and waits for the controller.
/// struct Plain;
///
/// impl DeploymentStrategy for Plain {
///     fn name(&self) -> &str {
///         "plain"
///     }
///
///     fn next(&self, seen: &Observation<'_>) -> Decision {
///         let set = Step::SetTemplate { template: seen.template().clone(), settings: Settings::default() };
///         if !set.holds(seen.snapshot()) {
///             Decision::Apply(set)
///         } else if seen.is_complete() {
///             Decision::Finish
///         } else {
///             Decision::Wait(Wait::new("converge", "waiting for new pods"))
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(note = "a strategy implements `name` and `next`")]
pub trait DeploymentStrategy: Send + Sync {
    /// Names the strategy: short, lower case, with hyphens.
    fn name(&self) -> &str;

    /// Decides what to do next on the way to the new template.
    fn next(&self, seen: &Observation<'_>) -> Decision;

    /// Decides what to do next on the way back.
    ///
    /// Provided: sets the stored template with the knobs that [`settings`](Self::settings) names,
    /// waits until it is everywhere, gives the knobs back.
    fn unwind(&self, seen: &Observation<'_>) -> Decision {
        crate::unwind::restore(seen, &self.settings(seen.kind()))
    }

    /// Names the knobs that the strategy sets while it rolls a kind of workload.
    ///
    /// Provided: no pod may be missing where the kind can surge, one otherwise.
    fn settings(&self, kind: WorkloadKind) -> Settings {
        let mut settings = Settings::default();
        if kind != WorkloadKind::StatefulSet {
            settings.max_unavailable = Some(crate::Part::ZERO);
            settings.max_surge = Some(crate::Amount::Count(1));
        }
        settings
    }

    /// Refuses a kind of workload that the strategy cannot roll as configured.
    ///
    /// # Errors
    /// What is wrong and what to do, in words.
    fn supports(&self, _kind: WorkloadKind) -> Result<(), String> {
        Ok(())
    }

    /// Returns the seconds that a pod must be given to drain, where the strategy knows.
    fn drain_seconds(&self) -> Option<u32> {
        None
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<S: DeploymentStrategy + ?Sized> DeploymentStrategy for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn next(&self, seen: &Observation<'_>) -> Decision {
                (**self).next(seen)
            }

            fn unwind(&self, seen: &Observation<'_>) -> Decision {
                (**self).unwind(seen)
            }

            fn settings(&self, kind: WorkloadKind) -> Settings {
                (**self).settings(kind)
            }

            fn supports(&self, kind: WorkloadKind) -> Result<(), String> {
                (**self).supports(kind)
            }

            fn drain_seconds(&self) -> Option<u32> {
                (**self).drain_seconds()
            }
        }
    )+};
}

forward!(std::sync::Arc<S>, Box<S>);

/// What a strategy decided.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the driver must act on each")]
pub enum Decision {
    /// Make a step.
    Apply(Step),
    /// The goal is reached: everything has converged and nothing is left to do.
    Finish,
    /// Write down that a milestone was reached.
    Reach(Milestone),
    /// Turn back.
    RollBack(Reason),
    /// Do nothing until something changes.
    Wait(Wait),
}

/// What a strategy waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Wait {
    /// The phase that the rollout is in while it waits, for progress and reports.
    pub phase: Cow<'static, str>,
    /// What is missing, in words.
    pub what: String,
    /// When to ask the strategy again although nothing has changed.
    pub until: Option<Timestamp>,
    /// Whether health gates are evaluated meanwhile.
    pub gates: Gating,
}

impl Wait {
    /// Waits for a change of the cluster.
    #[must_use]
    pub fn new(phase: impl Into<Cow<'static, str>>, what: impl Into<String>) -> Self {
        Self { phase: phase.into(), what: what.into(), until: None, gates: Gating::Closed }
    }

    /// Waits at most until the given time.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(self.until.map_or(time, |already| already.min(time)));
        self
    }

    /// Has the gates evaluated meanwhile.
    #[must_use]
    pub fn gated(mut self) -> Self {
        self.gates = Gating::Open;
        self
    }
}

/// Whether health gates are evaluated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "open or closed")]
pub enum Gating {
    /// They are not: their records are cleared.
    Closed,
    /// They are, each at its interval.
    Open,
}

/// A point in a rollout that a strategy wants to remember, with its time, across crashes.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Milestone(Cow<'static, str>);

impl Milestone {
    /// Names a milestone: short, lower case, with hyphens.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Names a milestone that belongs to a numbered step.
    #[must_use]
    pub fn numbered(name: &'static str, number: usize) -> Self {
        Self(Cow::Owned(format!("{name}-{number}")))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// The trait stays object-safe.
const _: fn(&dyn DeploymentStrategy) = |_| {};
