//! Progress of a rollout as typed, serialisable events.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::gate::Verdict;
use crate::handle::Command;
use crate::outcome::{Outcome, Reason};
use crate::rollout::RolloutId;
use crate::snapshot::Counts;
use crate::strategy::Milestone;
use crate::target::Target;

/// One thing that happened during a rollout.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Progress {
    /// When.
    pub at: Timestamp,
    /// The rollout.
    pub rollout: RolloutId,
    /// What.
    #[serde(flatten)]
    pub kind: ProgressKind,
}

impl Progress {
    /// Makes an event.
    #[must_use]
    pub fn new(at: Timestamp, rollout: RolloutId, kind: ProgressKind) -> Self {
        Self { at, rollout, kind }
    }
}

/// What happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum ProgressKind {
    /// This process took an unfinished rollout over.
    Adopted {
        /// The workload.
        target: Target,
    },
    /// An operator gave a command.
    Commanded {
        /// The command.
        command: Command,
    },
    /// The rollout ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
    /// A gate gave a verdict.
    Judged {
        /// The gate.
        gate: String,
        /// What it said.
        verdict: Verdict,
    },
    /// The rollout entered a phase, or waits for something else within it.
    Phase {
        /// The phase.
        name: String,
        /// What is missing, in words.
        what: String,
    },
    /// The numbers of pods changed.
    Pods {
        /// Desired number.
        desired: u32,
        /// Seen numbers.
        counts: Counts,
    },
    /// The strategy reached a milestone.
    Reached {
        /// The milestone.
        milestone: Milestone,
    },
    /// The way back began.
    RollbackStarted {
        /// Why.
        reason: Reason,
    },
    /// The rollout began.
    Started {
        /// The workload.
        target: Target,
        /// The strategy.
        strategy: String,
        /// What was asked for, in words.
        change: String,
    },
    /// A step is about to be made.
    StepIntended {
        /// The step's name.
        step: String,
        /// The step in words.
        what: String,
    },
    /// A step was seen to hold.
    StepVerified {
        /// The step's name.
        step: String,
    },
    /// A step that was intended will not be made: what it relied on has changed.
    StepWithdrawn {
        /// The step's name.
        step: String,
        /// The rule that it would break now.
        why: String,
    },
    /// Something that a user should know although it stops nothing.
    Warning {
        /// In words.
        message: String,
    },
}

impl fmt::Display for ProgressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted { target } => write!(f, "went on with the rollout of {target}"),
            Self::Commanded { command } => write!(f, "operator: {command}"),
            Self::Finished { outcome } => write!(f, "{outcome}"),
            Self::Judged { gate, verdict } => write!(f, "gate {gate}: {verdict}"),
            Self::Phase { name, what } => write!(f, "{name}: {what}"),
            Self::Pods { desired, counts } => write!(
                f,
                "{} of {desired} pods updated, {} available, {} in all",
                counts.updated, counts.available, counts.total
            ),
            Self::Reached { milestone } => write!(f, "reached {milestone}"),
            Self::RollbackStarted { reason } => write!(f, "rolling back: {reason}"),
            Self::Started { target, strategy, change } => {
                write!(f, "{strategy} of {target}: {change}")
            }
            Self::StepIntended { what, .. } => f.write_str(what),
            Self::StepVerified { step } => write!(f, "{step}: done"),
            Self::StepWithdrawn { step, why } => write!(f, "{step}: not any more ({why})"),
            Self::Warning { message } => write!(f, "warning: {message}"),
        }
    }
}
