//! What can go wrong with a rollout as a whole.

use thiserror::Error;

use crate::cluster::ClusterError;
use crate::invariant::Violation;
use crate::journal::JournalError;
use crate::lease::LeaseError;
use crate::state::IllegalTransition;
use crate::target::Target;

/// The engine could not know or act.
///
/// Nothing is lost: what the journal holds is enough for the next process to go on, and the
/// workload keeps serving.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// The caller cancelled it.
    #[error("the rollout of {target} was cancelled; run it again to go on")]
    Cancelled {
        /// The workload.
        target: Target,
    },
    /// The cluster did not answer as it should, for longer than the retry policy allows.
    #[error("failed to roll out {target}")]
    Cluster {
        /// The workload.
        target: Target,
        /// What happened.
        source: Box<ClusterError>,
    },
    /// The strategy acts again and again, without a wait and without an end: a bug in the strategy.
    #[error(
        "strategy {strategy} keeps acting on {target} without a wait or an end; nothing that it does next would help"
    )]
    Endless {
        /// The workload.
        target: Target,
        /// The strategy.
        strategy: String,
    },
    /// The journal could not be read or written.
    #[error("failed to keep the journal of {target}")]
    Journal {
        /// The workload.
        target: Target,
        /// What happened.
        source: Box<JournalError>,
    },
    /// The lease could not be taken.
    #[error("failed to start the rollout of {target}")]
    Lease {
        /// The workload.
        target: Target,
        /// What happened.
        source: Box<LeaseError>,
    },
    /// Another driver took over.
    #[error("another driver took over {target}; this one stopped")]
    Lost {
        /// The workload.
        target: Target,
    },
    /// A strategy asked for a step that is not safe: a bug in the strategy.
    #[error("the strategy asked for a step on {target} that is not safe")]
    Unsafe {
        /// The workload.
        target: Target,
        /// The rule that it would break.
        source: Box<Violation>,
    },
    /// The strategy cannot roll this kind of workload as it is configured.
    #[error("strategy {strategy} cannot roll out {target}: {problem}")]
    Unsupported {
        /// The workload.
        target: Target,
        /// The strategy.
        strategy: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Writes an error and its causes on one line, each after a colon.
///
/// Messages of this workspace do not repeat their cause, so whoever shows an error to a person
/// prints all of them. A cause that the text holds already, as some libraries write it, is not
/// repeated.
///
/// # Examples
/// ```
/// use zdd_core::{ClusterError, RolloutError, Target, chain};
///
/// let target = Target::deployment("shop", "web");
/// let source = Box::new(ClusterError::refused(&target, "it does not exist; create it first"));
/// assert_eq!(
///     chain(&RolloutError::Cluster { target, source }),
///     "failed to roll out Deployment shop/web: Deployment shop/web: it does not exist; create it first",
/// );
/// ```
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

impl RolloutError {
    /// Returns the workload that was to be rolled out.
    #[must_use]
    pub fn target(&self) -> &Target {
        match self {
            Self::Cancelled { target }
            | Self::Endless { target, .. }
            | Self::Cluster { target, .. }
            | Self::Journal { target, .. }
            | Self::Lease { target, .. }
            | Self::Lost { target }
            | Self::Unsafe { target, .. }
            | Self::Unsupported { target, .. } => target,
        }
    }

    /// Tells whether the same rollout may succeed when it is run again later, with nothing changed
    /// by hand.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cancelled { .. } => true,
            Self::Cluster { source, .. } => source.is_retryable(),
            Self::Journal { source, .. } => source.is_retryable(),
            Self::Lease { source, .. } => source.is_retryable(),
            // The other driver would be fought.
            Self::Lost { .. }
            | Self::Endless { .. }
            | Self::Unsafe { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    pub(crate) fn cluster(target: &Target, source: ClusterError) -> Self {
        if let ClusterError::Fenced { .. } = source {
            return Self::Lost { target: target.clone() };
        }
        Self::Cluster { target: target.clone(), source: Box::new(source) }
    }

    pub(crate) fn corrupt(target: &Target, problem: &IllegalTransition) -> Self {
        let problem = problem.to_string();
        Self::journal(target, JournalError::Corrupt { target: target.clone(), problem })
    }

    pub(crate) fn lease(target: &Target, source: LeaseError) -> Self {
        match source {
            // What is refused for good is said of the target; that it was found out on the way to
            // the lease helps nobody.
            LeaseError::Cluster { source: refused @ ClusterError::Refused { .. }, .. } => {
                Self::cluster(target, refused)
            }
            source @ (LeaseError::Cluster { .. } | LeaseError::Held { .. }) => {
                Self::Lease { target: target.clone(), source: Box::new(source) }
            }
        }
    }

    pub(crate) fn journal(target: &Target, source: JournalError) -> Self {
        if let JournalError::Conflict { .. } = source {
            return Self::Lost { target: target.clone() };
        }
        Self::Journal { target: target.clone(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_another_run_may_help() {
        let target = Target::deployment("shop", "web");
        let object = target.to_string();
        let busy = || ClusterError::Conflict { object: object.clone() };
        let held = LeaseError::Held { target: target.clone(), holder: "ci-41".to_owned() };
        let lease = LeaseError::Cluster { target: target.clone(), source: busy() };
        let journal = JournalError::Cluster { target: target.clone(), source: busy() };
        for (error, expected) in [
            (RolloutError::Cancelled { target: target.clone() }, true),
            (RolloutError::cluster(&target, busy()), true),
            (RolloutError::cluster(&target, ClusterError::refused(&target, "no")), false),
            (RolloutError::journal(&target, journal), true),
            (RolloutError::lease(&target, held), true),
            (RolloutError::lease(&target, lease), true),
            (RolloutError::Lost { target: target.clone() }, false),
        ] {
            assert_eq!(error.is_retryable(), expected, "{error:?}");
            assert_eq!(error.target(), &target);
        }
    }

    #[test]
    fn what_is_refused_for_good_is_said_of_the_target() {
        let target = Target::deployment("shop", "web");
        let refused = ClusterError::refused(&target, "it does not exist");
        let lease = LeaseError::Cluster { target: target.clone(), source: refused };
        let text = chain(&RolloutError::lease(&target, lease));
        let told = "failed to roll out Deployment shop/web: Deployment shop/web: it does not exist";
        assert_eq!(text, told);
    }
}
