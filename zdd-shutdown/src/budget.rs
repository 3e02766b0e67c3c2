//! Splits the one deadline into the shares of the phases.
//!
//! There is a single absolute deadline; everything else is a share of it, so
//! that settings cannot override each other. A budget that does not fit is an
//! error when the program said so itself, and a warning when only the pod's
//! termination grace makes it too small: then the pod has to end anyway.

use std::{fmt, time::Duration};

/// Longest deadline that is taken for meant: a day.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest deadline in which the phases can be told apart.
const SHORTEST: Duration = Duration::from_millis(100);
/// What the kubelet and the runtime need of the termination grace.
const KUBELET: Duration = Duration::from_secs(3);

const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const LAME_DUCK: LameDuck =
    LameDuck { min: Duration::from_secs(5), max: Duration::from_secs(15) };
const RESERVE: Duration = Duration::from_secs(5);
const MARGIN: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(1);

/// How long the process serves as if nothing had happened while traffic moves away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LameDuck {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl LameDuck {
    /// No lame duck: right where nothing has to notice that the process ends.
    pub const NONE: Self = Self { min: Duration::ZERO, max: Duration::ZERO };

    /// Lasts at least `min`, then until no new connection has come for the
    /// quiet time, and never longer than `max`.
    #[must_use]
    pub const fn adaptive(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// Lasts exactly this long.
    #[must_use]
    pub const fn fixed(time: Duration) -> Self {
        Self { min: time, max: time }
    }
}

/// The resolved shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) deadline: Duration,
    pub(crate) lame_duck: LameDuck,
    pub(crate) quiet: Duration,
    pub(crate) sweep: Duration,
    close_reserve: Duration,
    hooks_reserve: Duration,
    margin: Duration,
}

impl Budget {
    /// When Draining must be over, counted from the signal.
    pub(crate) fn draining_ends(&self) -> Duration {
        self.closing_ends() - self.close_reserve
    }

    /// When Closing must be over.
    pub(crate) fn closing_ends(&self) -> Duration {
        self.hooks_end() - self.hooks_reserve
    }

    /// When the last hook is cut.
    pub(crate) fn hooks_end(&self) -> Duration {
        self.deadline - self.margin
    }
}

/// What the program and its environment ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) deadline: Option<Duration>,
    pub(crate) lame_duck: Option<LameDuck>,
    pub(crate) quiet: Option<Duration>,
    pub(crate) sweep: Option<Duration>,
    pub(crate) close_reserve: Option<Duration>,
    pub(crate) hooks_reserve: Option<Duration>,
    pub(crate) termination_grace: Option<Duration>,
    pub(crate) pre_stop: Duration,
    pub(crate) in_cluster: bool,
}

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
    /// The lame duck was shortened to fit the capped deadline.
    LameDuckShortened {
        /// The maximum that was asked for.
        asked: Duration,
        /// The maximum that holds.
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
                needed.as_secs() + u64::from(needed.subsec_nanos() > 0),
            ),
            Self::LameDuckShortened { asked, got } => {
                write!(f, "lame duck of up to {asked:?} does not fit the deadline, using {got:?}")
            }
        }
    }
}

impl Request {
    /// Works out the shares.
    pub(crate) fn resolve(&self) -> Result<(Budget, Vec<Warning>), BudgetError> {
        let mut warnings = Vec::new();
        let asked = self.deadline.unwrap_or(DEADLINE);
        if asked < SHORTEST {
            return Err(BudgetError::DeadlineTooShort(asked));
        }
        if asked > LONGEST {
            return Err(BudgetError::DeadlineTooLong(asked));
        }
        let deadline = self.capped(asked)?;
        if deadline < asked {
            let needed = asked + self.pre_stop + KUBELET;
            warnings.push(Warning::DeadlineCapped { asked, capped: deadline, needed });
        }

        let margin = MARGIN.min(deadline / 20);
        let close_reserve = self.close_reserve.unwrap_or(RESERVE.min(deadline / 6));
        let hooks_reserve = self.hooks_reserve.unwrap_or(RESERVE.min(deadline / 6));
        let reserves = close_reserve.saturating_add(hooks_reserve).saturating_add(margin);
        let Some(left) = deadline.checked_sub(reserves).filter(|left| !left.is_zero()) else {
            return Err(BudgetError::SharesExceedDeadline { needed: reserves, deadline });
        };
        let lame_duck =
            self.lame_duck(deadline, left, reserves, deadline < asked, &mut warnings)?;
        let budget = Budget {
            deadline,
            lame_duck,
            quiet: self.quiet.unwrap_or(QUIET),
            sweep: self.sweep.unwrap_or(SWEEP),
            close_reserve,
            hooks_reserve,
            margin,
        };
        Ok((budget, warnings))
    }

    /// Brings the deadline forward so that it fires before SIGKILL does.
    fn capped(&self, deadline: Duration) -> Result<Duration, BudgetError> {
        let Some(grace) = self.termination_grace else { return Ok(deadline) };
        match grace.checked_sub(self.pre_stop + KUBELET).filter(|cap| *cap >= SHORTEST) {
            Some(cap) => Ok(deadline.min(cap)),
            None => Err(BudgetError::GraceTooShort { grace, pre_stop: self.pre_stop }),
        }
    }

    fn lame_duck(
        &self,
        deadline: Duration,
        left: Duration,
        reserves: Duration,
        capped: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<LameDuck, BudgetError> {
        let Some(LameDuck { min, max }) = self.lame_duck else {
            // The preStop sleep waits for the same thing: never wait twice.
            let min = LAME_DUCK.min.min(deadline / 6).saturating_sub(self.pre_stop);
            let max = LAME_DUCK.max.min(deadline / 2).min(left).max(min);
            return Ok(if self.in_cluster { LameDuck { min, max } } else { LameDuck::NONE });
        };
        if min > max {
            return Err(BudgetError::LameDuckReversed { min, max });
        }
        if max <= left {
            return Ok(LameDuck { min, max });
        }
        if !capped {
            return Err(BudgetError::SharesExceedDeadline {
                needed: max.saturating_add(reserves),
                deadline,
            });
        }
        warnings.push(Warning::LameDuckShortened { asked: max, got: left });
        Ok(LameDuck { min: min.min(left), max: left })
    }
}

#[cfg(test)]
mod tests;
