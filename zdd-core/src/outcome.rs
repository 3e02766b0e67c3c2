//! How a rollout ends. Outcomes are values; errors are for what could not be known or done.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rollout::RolloutId;
use crate::target::Target;

/// How a rollout ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "callers should decide for each")]
pub enum Outcome {
    /// The new template serves, and serves alone.
    Promoted,
    /// What was there before serves again, alone.
    RolledBack {
        /// Why.
        reason: Reason,
    },
    /// The engine could neither finish nor go back; what serves was left serving.
    Stuck {
        /// Why it wanted to go back, or what failed.
        reason: Reason,
        /// What is left to do by hand, one line each.
        remaining: Vec<String>,
    },
    /// Someone else took the target over; the engine left it to them.
    Superseded {
        /// By what.
        by: Superseder,
    },
}

/// Who or what took a target over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Superseder {
    /// Someone deleted the target.
    Deletion,
    /// Someone set another template.
    Edit,
    /// Someone deleted the target and made another of the same name.
    Recreation,
    /// A newer rollout took over.
    Rollout,
}

/// Why a rollout goes back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Reason {
    /// An operator aborted it.
    Aborted {
        /// The operator's words.
        message: String,
    },
    /// The cluster refuses to create pods: quota, admission.
    CannotCreatePods {
        /// The cluster's words.
        message: String,
    },
    /// There was no progress for too long.
    DeadlineExceeded {
        /// What was still missing.
        message: String,
    },
    /// A gate failed.
    GateFailed {
        /// The gate.
        gate: String,
        /// What it said.
        evidence: String,
    },
    /// The cluster refused a step after the rollout had begun.
    StepRefused {
        /// The step.
        step: String,
        /// Why.
        message: String,
    },
    /// New pods do not run.
    PodsFailing {
        /// A pod that stands for them.
        pod: String,
        /// What keeps it from running.
        message: String,
    },
    /// A strategy's own reason.
    Other {
        /// In words.
        message: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted { message } if message.is_empty() => f.write_str("aborted"),
            Self::Aborted { message } => write!(f, "aborted: {message}"),
            Self::CannotCreatePods { message } => write!(f, "pods cannot be created: {message}"),
            Self::DeadlineExceeded { message } => write!(f, "no progress in time: {message}"),
            Self::GateFailed { gate, evidence } => write!(f, "gate {gate} failed: {evidence}"),
            Self::StepRefused { step, message } => write!(f, "refused to {step}: {message}"),
            Self::PodsFailing { pod, message } => write!(f, "pod {pod} does not run: {message}"),
            Self::Other { message } => f.write_str(message),
        }
    }
}

impl fmt::Display for Superseder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deletion => "someone deleted the target",
            Self::Edit => "someone set another pod template",
            Self::Recreation => "someone deleted the target and made it anew",
            Self::Rollout => "a newer rollout took over",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack { reason } => write!(f, "rolled back: {reason}"),
            Self::Stuck { reason, remaining } => {
                write!(f, "stuck: {reason}; to do by hand: {}", remaining.join("; "))
            }
            Self::Superseded { by } => write!(f, "superseded: {by}"),
        }
    }
}

/// What a finished rollout has to say.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The rollout.
    pub rollout: RolloutId,
    /// The workload.
    pub target: Target,
    /// The name of the strategy.
    pub strategy: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it spent its time on, in order, as far as this process saw it.
    pub phases: Vec<PhaseTime>,
    /// What a user should know although it stopped nothing.
    pub warnings: Vec<String>,
}

/// The time spent in one phase.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PhaseTime {
    /// The phase.
    pub name: String,
    /// How long it took, in milliseconds.
    #[serde(rename = "ms", with = "milliseconds")]
    pub time: Duration,
}

impl PhaseTime {
    /// Makes an entry.
    #[must_use]
    pub fn new(name: impl Into<String>, time: Duration) -> Self {
        Self { name: name.into(), time }
    }
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
