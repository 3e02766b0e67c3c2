//! Refuses steps that could lose a request, whatever strategy asked for them.

use thiserror::Error;

use crate::observation::Observation;
use crate::snapshot::{Completion, Settings};
use crate::state::Phase;
use crate::step::Step;
use crate::target::WorkloadKind;

/// A safety rule that a step would break. The numbers are those of the rules in ARCHITECTURE.md.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// Rule 1: nothing shrinks before the data plane has followed.
    #[error("rule 1, converge, then shrink: {step} would {harm}")]
    ShrinksTooEarly {
        /// The step.
        step: &'static str,
        /// What it would do.
        harm: String,
    },
    /// Rule 4: rollback restores what was stored.
    #[error("rule 4, rollback needs no luck: {step} sets a template that is not the stored one")]
    NotTheBaseline {
        /// The step.
        step: &'static str,
    },
    /// Rule 7: a rollout writes the templates it was asked to write.
    #[error("rule 7, only our own fields: {step} sets a template that nobody asked for")]
    ForeignTemplate {
        /// The step.
        step: &'static str,
    },
    /// Rule 8: the target is the object that the rollout began with.
    #[error(
        "rule 8, one driver per target: {step} would write to another object than the rollout began with"
    )]
    WrongObject {
        /// The step.
        step: &'static str,
    },
}

/// Checks a step against the safety rules.
///
/// # Errors
/// The [`Violation`], which is a bug in the strategy that asked for the step.
pub fn check(step: &Step, seen: &Observation<'_>) -> Result<(), Violation> {
    let name = step.name();
    let workload = match seen.workload() {
        Some(workload) if workload.uid == seen.state().start.uid => workload,
        Some(_) | None => return Err(Violation::WrongObject { step: name }),
    };
    match step {
        Step::SetTemplate { template, settings } => {
            let baseline = &seen.baseline().template;
            if matches!(seen.state().phase, Phase::RollingBack(_)) {
                if template != baseline {
                    return Err(Violation::NotTheBaseline { step: name });
                }
            } else if template != seen.template() {
                return Err(Violation::ForeignTemplate { step: name });
            }
            keeps_pods(name, &settings.or(&workload.settings), workload.replicas, seen.kind())
        }
        Step::RestoreSettings { settings } => {
            let harmless = workload.completion == Completion::Complete
                || keeps_pods(
                    name,
                    &settings.or(&workload.settings),
                    workload.replicas,
                    seen.kind(),
                )
                .is_ok();
            let harm = || "allow missing pods while the rollout is under way".to_owned();
            harmless
                .then_some(())
                .ok_or_else(|| Violation::ShrinksTooEarly { step: name, harm: harm() })
        }
        Step::DeletePod { uid, name: pod } => {
            let healthy = seen.snapshot().pods.iter().any(|other| other.uid == *uid && other.ready);
            let harm = || format!("delete pod {pod}, which is ready");
            (!healthy)
                .then_some(())
                .ok_or_else(|| Violation::ShrinksTooEarly { step: name, harm: harm() })
        }
        Step::Pause | Step::Resume | Step::SetPartition { .. } => Ok(()),
    }
}

/// Says by which knob someone else lets pods be missing, after the rollout has set its own.
///
/// It is theirs to turn, and stops nothing; but whoever watches counts on rule 1.
pub(crate) fn loosened(seen: &Observation<'_>) -> Option<String> {
    let workload = seen.workload()?;
    // Where nothing is replaced nothing can be missing.
    if !seen.state().holds_knobs || workload.completion == Completion::Complete {
        return None;
    }
    let (settings, replicas) = (&workload.settings, workload.replicas);
    let missing = too_many_missing(settings, replicas, seen.kind())?;
    let allowed = unavoidable(seen.kind());
    Some(format!(
        "someone has changed the rolling update to {settings}: up to {missing} of {replicas} pods \
         may be missing until the rollout ends; set maxUnavailable to {allowed} to keep them"
    ))
}

fn keeps_pods(
    step: &'static str,
    settings: &Settings,
    replicas: u32,
    kind: WorkloadKind,
) -> Result<(), Violation> {
    match too_many_missing(settings, replicas, kind) {
        None => Ok(()),
        Some(missing) => {
            let harm = format!("let {missing} of {replicas} pods be missing");
            Err(Violation::ShrinksTooEarly { step, harm })
        }
    }
}

/// Returns how many pods the controller may let be missing, where that is more than it must.
fn too_many_missing(settings: &Settings, replicas: u32, kind: WorkloadKind) -> Option<u32> {
    Some(missing(settings, replicas, kind)).filter(|missing| *missing > unavoidable(kind))
}

/// A kind that replaces pods in place cannot do without one missing pod; all others can.
fn unavoidable(kind: WorkloadKind) -> u32 {
    u32::from(kind == WorkloadKind::StatefulSet)
}

/// Returns how many pods the controller may let be missing, by its own arithmetic.
fn missing(settings: &Settings, replicas: u32, kind: WorkloadKind) -> u32 {
    let Some(unavailable) = settings.max_unavailable else { return 0 };
    match kind {
        WorkloadKind::DaemonSet => unavailable.round_up(replicas),
        WorkloadKind::Deployment => {
            let down = unavailable.round_down(replicas);
            // A Deployment that could not move at all takes one. An absent knob is no zero.
            let stuck = settings.max_surge.is_some_and(|surge| surge.round_up(replicas) == 0);
            if stuck && replicas > 0 { down.max(1) } else { down }
        }
        WorkloadKind::StatefulSet => unavailable.round_down(replicas),
    }
}
