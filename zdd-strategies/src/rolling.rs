//! Rolling update: new pods first, old pods after them, never fewer than asked for.
//!
//! The workload's own controller replaces the pods. The strategy gives it
//! knobs under which no pod may be missing, watches what it does, and turns
//! back when new pods fail, progress ends or a gate says no.

use jiff::Timestamp;
use zdd_core::{
    Completion, Decision, DeploymentStrategy, Intervention, Judgement, Milestone, Observation,
    Part, Reason, Settings, Standstill, Step, Wait, Workload, WorkloadKind, later, unwind,
};

use crate::fail_fast::Health;

mod config;
mod stage;

pub use config::{InvalidRolling, RollingConfig, Stage};

/// Everything runs the new template, and the endpoints have followed.
const CONVERGED: Milestone = Milestone::new("converged");
/// Everything stayed well for the soak time, and every gate has passed.
const SOAKED: Milestone = Milestone::new("soaked");

/// A rolling update without a missing pod.
///
/// # Guarantees
/// - A Deployment or DaemonSet never has fewer available pods than desired because of the rollout;
///   a StatefulSet, which replaces pods in place, lacks at most one.
/// - The rollout ends as promoted only when every pod runs the new template and is available, and
///   the endpoints of every Service show exactly those pods.
/// - The knobs it sets are given back at the end.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use zdd_strategies::{Rolling, RollingConfig, Stage};
///
/// let rolling = Rolling::new(
///     RollingConfig::default()
///         .max_surge("25%".parse::<zdd_core::Amount>()?)
///         .stage(Stage::new(1, Duration::from_secs(60)))
///         .soak(Duration::from_secs(300)),
/// )?;
/// # drop(rolling);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rolling {
    config: RollingConfig,
}

impl Rolling {
    /// Makes the strategy.
    ///
    /// # Errors
    /// [`InvalidRolling`] for settings with which no rolling update can succeed.
    pub fn new(config: RollingConfig) -> Result<Self, InvalidRolling> {
        config.check()?;
        Ok(Self { config })
    }

    /// Waits until the controller has replaced all pods and the endpoints have followed.
    fn converge(&self, seen: &Observation<'_>, until: Option<Timestamp>) -> Decision {
        if let Some(Completion::DeadlineExceeded { message }) =
            seen.workload().map(|workload| &workload.completion)
        {
            return Decision::RollBack(Reason::DeadlineExceeded { message: message.clone() });
        }
        self.patiently(seen, Wait::new("converge", seen.missing()), until)
    }

    /// Waits, but not longer than the progress deadline allows.
    fn patiently(&self, seen: &Observation<'_>, wait: Wait, until: Option<Timestamp>) -> Decision {
        let left = self.config.progress_deadline.saturating_sub(seen.stalled_for());
        if left.is_zero() {
            return Decision::RollBack(Reason::DeadlineExceeded { message: wait.what });
        }
        let wait = wait.until(later(seen.now(), left));
        Decision::Wait(match until {
            Some(until) => wait.until(until),
            None => wait,
        })
    }

    /// Everything has converged: it must stay well for the soak time.
    fn soak(&self, seen: &Observation<'_>, converged: Timestamp) -> Decision {
        if seen.reached(&SOAKED).is_none() {
            let end = later(converged, self.config.soak);
            return watched(seen, "soak", end).unwrap_or(Decision::Reach(SOAKED));
        }
        let restore = Step::RestoreSettings { settings: seen.settings_to_restore() };
        if restore.holds(seen.snapshot()) { Decision::Finish } else { Decision::Apply(restore) }
    }
}

/// Waits under open gates until the given time, and until every gate has passed. `None` when
/// there is nothing left to wait for.
fn watched(seen: &Observation<'_>, phase: &'static str, end: Timestamp) -> Option<Decision> {
    if seen.is_promoted() {
        return None;
    }
    let what = match seen.judgement() {
        Judgement::Fail { gate, evidence } => {
            return Some(Decision::RollBack(Reason::GateFailed { gate, evidence }));
        }
        Judgement::Pass if seen.now() >= end => return None,
        Judgement::Pass => "everything must stay well".to_owned(),
        Judgement::Pending { gate } => format!("waiting for gate {gate}"),
    };
    let wait = Wait::new(phase, what).gated();
    Some(Decision::Wait(if seen.now() < end { wait.until(end) } else { wait }))
}

/// Says what keeps the controller from replacing pods, as long as there are pods to replace.
fn standstill(seen: &Observation<'_>) -> Option<Standstill> {
    let done = seen.reached(&CONVERGED).is_some();
    seen.standstill().filter(|still| !(done && matches!(still, Standstill::Partition { .. })))
}

/// Stays where the rollout is. Only a Deployment's controller can be stopped.
fn hold(seen: &Observation<'_>, workload: &Workload) -> Decision {
    let stoppable = seen.kind() == WorkloadKind::Deployment;
    if stoppable && !workload.paused && seen.state().template.is_some() && !seen.is_complete() {
        return Decision::Apply(Step::Pause);
    }
    Decision::Wait(Wait::new("paused", "waiting for the operator to resume, promote or abort"))
}

impl DeploymentStrategy for Rolling {
    fn name(&self) -> &'static str {
        "rolling"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        let Some(workload) = seen.workload() else {
            return Decision::Wait(Wait::new("prepare", "the target does not exist"));
        };
        if seen.intervention() == Intervention::Pause {
            return hold(seen, workload);
        }
        if workload.template != *seen.template() {
            return Decision::Apply(Step::SetTemplate {
                template: seen.template().clone(),
                settings: unwind::one_at_a_time(seen, self.first_settings(seen)),
            });
        }
        let until = match self.config.fail_fast.judge(seen) {
            Health::Failing(reason) => return Decision::RollBack(reason),
            Health::Tolerable { until } => until,
        };
        if let Some(still) = standstill(seen) {
            return Decision::Wait(Wait::new("paused", still.to_string()));
        }
        if let Some(decision) = self.stage(seen, workload, until) {
            return decision;
        }
        if workload.paused {
            return Decision::Apply(Step::Resume);
        }
        if !seen.is_complete() {
            return self.converge(seen, until);
        }
        match seen.reached(&CONVERGED) {
            None => Decision::Reach(CONVERGED),
            Some(converged) => self.soak(seen, converged),
        }
    }

    fn settings(&self, kind: WorkloadKind) -> Settings {
        let mut settings = Settings::default();
        settings.min_ready_seconds = self.config.min_ready_seconds;
        if kind == WorkloadKind::StatefulSet {
            settings.partition = self.config.stage.map(|_| 0);
        } else {
            settings.max_surge = Some(self.config.max_surge);
            settings.max_unavailable = Some(Part::ZERO);
        }
        settings
    }

    fn supports(&self, kind: WorkloadKind) -> Result<(), String> {
        if kind == WorkloadKind::DaemonSet && self.config.stage.is_some() {
            return Err("a DaemonSet's controller cannot be stopped after a first stage; \
                        leave the stage out and use a soak time"
                .to_owned());
        }
        if kind == WorkloadKind::DaemonSet && Part::try_from(self.config.max_surge).is_err() {
            return Err(format!(
                "maxSurge is {}, but a DaemonSet has one pod on each node and one beside it at \
                 most; ask for 100% or less",
                self.config.max_surge
            ));
        }
        Ok(())
    }

    fn drain_seconds(&self) -> Option<u32> {
        // Rounded up: a drain of 9.5 s needs 10 s of grace.
        let drain = self.config.drain?;
        let seconds = drain.as_secs() + u64::from(drain.subsec_nanos() > 0);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}
