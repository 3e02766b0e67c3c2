//! What can be wrong with a budget.

use std::{fmt, time::Duration};

use super::{LONGEST, SHORTEST};

/// Why a budget cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The deadline is zero or too short to do anything in.
    #[error("deadline of {0:?} is shorter than {SHORTEST:?}, give the drain some time")]
    DeadlineTooShort(Duration),
    /// The deadline is longer than a day.
    #[error("deadline of {0:?} is longer than {LONGEST:?}, check its unit")]
    DeadlineTooLong(Duration),
    /// The lame duck would have to end before it begins.
    #[error("lame duck minimum {min:?} is longer than its maximum {max:?}")]
    LameDuckReversed {
        /// The minimum.
        min: Duration,
        /// The maximum.
        max: Duration,
    },
    /// The shares together are longer than the deadline.
    #[error(
        "lame duck and reserves need {needed:?}, raise the deadline of {deadline:?} or shorten them"
    )]
    SharesExceedDeadline {
        /// The sum of the shares.
        needed: Duration,
        /// The deadline they have to fit in.
        deadline: Duration,
    },
    /// A limit would end after everything that it could limit.
    #[error(
        "{name} of {asked:?} does not fit, the deadline leaves {room:?} for it; shorten it or raise the deadline"
    )]
    LimitTooLong {
        /// The setting, by the name of its method.
        name: &'static str,
        /// What it was set to.
        asked: Duration,
        /// The longest that would work.
        room: Duration,
    },
    /// The preStop hook leaves nothing of the termination grace.
    #[error(
        "termination grace of {grace:?} minus preStop of {pre_stop:?} leaves no time to drain, raise terminationGracePeriodSeconds"
    )]
    GraceTooShort {
        /// `terminationGracePeriodSeconds`.
        grace: Duration,
        /// How long the preStop hook takes of it.
        pre_stop: Duration,
    },
}

/// A budget that works, but not as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// SIGKILL would come before the deadline, so the deadline was brought forward.
    DeadlineCapped {
        /// The deadline that was asked for.
        asked: Duration,
        /// The deadline that holds.
        capped: Duration,
        /// The `terminationGracePeriodSeconds` that would be enough.
        needed: Duration,
    },
    /// The pod did not say when SIGKILL comes, and by default that is before the deadline.
    GraceUnknown {
        /// The deadline that holds.
        deadline: Duration,
        /// The `terminationGracePeriodSeconds` that would be enough.
        needed: Duration,
    },
    /// The lame duck was shortened to fit the capped deadline.
    LameDuckShortened {
        /// The maximum that was asked for.
        asked: Duration,
        /// The maximum that holds.
        got: Duration,
    },
    /// A limit was shortened to fit the capped deadline.
    LimitShortened {
        /// The setting, by the name of its method.
        name: &'static str,
        /// What was asked for.
        asked: Duration,
        /// What holds.
        got: Duration,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeadlineCapped { asked, capped, needed } => write!(
                f,
                "deadline of {asked:?} does not fit the pod's termination grace, using {capped:?}; \
                 set terminationGracePeriodSeconds to at least {}",
                whole_seconds(*needed),
            ),
            Self::GraceUnknown { deadline, needed } => write!(
                f,
                "deadline of {deadline:?} does not fit the termination grace of a pod that sets \
                 none; set terminationGracePeriodSeconds and ZDD_TERMINATION_GRACE to at least {}",
                whole_seconds(*needed),
            ),
            Self::LameDuckShortened { asked, got } => {
                write!(f, "lame duck of up to {asked:?} does not fit the deadline, using {got:?}")
            }
            Self::LimitShortened { name, asked, got } => {
                write!(f, "{name} of {asked:?} does not fit the deadline, using {got:?}")
            }
        }
    }
}

/// Rounds up: `terminationGracePeriodSeconds` is a whole number.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
