//! Splits the one deadline into the shares of the phases.
//!
//! There is a single absolute deadline; everything else is a share of it, so
//! that settings cannot override each other. A budget that does not fit is an
//! error when the program said so itself, and a warning when only the pod's
//! termination grace makes it too small: then the pod has to end anyway.

use std::time::Duration;

pub use problem::{BudgetError, Warning};

mod problem;

/// Longest deadline that is taken for meant: a day.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest deadline in which the phases can be told apart.
const SHORTEST: Duration = Duration::from_millis(100);
/// What the kubelet and the runtime need of the termination grace.
const KUBELET: Duration = Duration::from_secs(3);
/// The termination grace of a pod that says nothing of it.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

const DEADLINE: Duration = Duration::from_secs(30);
const LAME_DUCK: LameDuck = LameDuck { min: Duration::from_secs(5), max: Duration::from_secs(15) };
const RESERVE: Duration = Duration::from_secs(5);
/// No default takes more than this part of the deadline; the longest are 5 s.
const SHARE: u32 = 5;
const MARGIN: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(1);
pub(crate) const SWEEP: Duration = Duration::from_secs(1);
pub(crate) const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);
pub(crate) const SLOW_CLIENT: Duration = Duration::from_secs(5);
pub(crate) const PONG_CAP: Duration = Duration::from_secs(5);
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(100);

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
    pub(crate) first_request_grace: Duration,
    pub(crate) slow_client: Duration,
    pub(crate) pong_cap: Duration,
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

    /// How long after that a client may take to learn that its request is refused.
    pub(crate) fn last_words(&self) -> Duration {
        LAST_WORDS.min(self.hooks_reserve / 4)
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
    /// These two come from the environment, and one alone leaves the other where it was.
    pub(crate) lame_duck_min: Option<Duration>,
    pub(crate) lame_duck_max: Option<Duration>,
    pub(crate) quiet: Option<Duration>,
    pub(crate) sweep: Option<Duration>,
    pub(crate) first_request_grace: Option<Duration>,
    pub(crate) slow_client: Option<Duration>,
    pub(crate) pong_cap: Option<Duration>,
    pub(crate) close_reserve: Option<Duration>,
    pub(crate) hooks_reserve: Option<Duration>,
    pub(crate) termination_grace: Option<Duration>,
    pub(crate) pre_stop: Duration,
    pub(crate) in_cluster: bool,
}

impl Request {
    /// Works out the shares.
    pub(crate) fn resolve(&self) -> Result<(Budget, Vec<Warning>), BudgetError> {
        let mut warnings = Vec::new();
        let deadline = self.resolve_deadline(&mut warnings)?;
        let margin = MARGIN.min(deadline.time / 20);
        let close_reserve = self.close_reserve.unwrap_or(RESERVE.min(deadline.time / SHARE));
        let hooks_reserve = self.hooks_reserve.unwrap_or(RESERVE.min(deadline.time / SHARE));
        let reserves = close_reserve.saturating_add(hooks_reserve).saturating_add(margin);
        let Some(left) = deadline.time.checked_sub(reserves).filter(|left| !left.is_zero()) else {
            let deadline = deadline.time;
            return Err(BudgetError::SharesExceedDeadline { needed: reserves, deadline });
        };
        let lame_duck = self.resolve_lame_duck(deadline, left, reserves, &mut warnings)?;

        // The longest lame duck still leaves a connection the time to meet its limits.
        let room = left + close_reserve - lame_duck.max;
        let mut limit = |name, asked, default: Duration, room| {
            deadline.fit(name, asked, default.min(deadline.time / SHARE), room, &mut warnings)
        };
        let budget = Budget {
            deadline: deadline.time,
            lame_duck,
            quiet: limit("quiet", self.quiet, QUIET, left)?,
            sweep: limit("sweep", self.sweep, SWEEP, room)?,
            first_request_grace: limit(
                "first_request_grace",
                self.first_request_grace,
                FIRST_REQUEST_GRACE,
                room,
            )?,
            slow_client: limit("slow_client", self.slow_client, SLOW_CLIENT, room)?,
            pong_cap: limit("pong_cap", self.pong_cap, PONG_CAP, room)?,
            close_reserve,
            hooks_reserve,
            margin,
        };
        Ok((budget, warnings))
    }

    fn resolve_deadline(&self, warnings: &mut Vec<Warning>) -> Result<Deadline, BudgetError> {
        let around = self.pre_stop + KUBELET;
        // Where nobody says what the pod's grace is, it is most likely the default.
        let unknown = self.in_cluster && self.termination_grace.is_none();
        let asked = match self.deadline {
            Some(deadline) => deadline,
            None if unknown && self.pre_stop.is_zero() => DEFAULT_GRACE - KUBELET,
            None => DEADLINE,
        };
        if asked < SHORTEST {
            return Err(BudgetError::DeadlineTooShort(asked));
        }
        if asked > LONGEST {
            return Err(BudgetError::DeadlineTooLong(asked));
        }
        let needed = asked + around;
        if unknown && needed > DEFAULT_GRACE {
            warnings.push(Warning::GraceUnknown { deadline: asked, needed });
        }
        let Some(grace) = self.termination_grace else {
            return Ok(Deadline { time: asked, capped: false });
        };
        // Brought forward, so that it fires before SIGKILL does.
        let Some(cap) = grace.checked_sub(around).filter(|cap| *cap >= SHORTEST) else {
            return Err(BudgetError::GraceTooShort { grace, pre_stop: self.pre_stop });
        };
        if cap < asked {
            warnings.push(Warning::DeadlineCapped { asked, capped: cap, needed });
        }
        Ok(Deadline { time: asked.min(cap), capped: cap < asked })
    }

    fn resolve_lame_duck(
        &self,
        deadline: Deadline,
        left: Duration,
        reserves: Duration,
        warnings: &mut Vec<Warning>,
    ) -> Result<LameDuck, BudgetError> {
        let base = match (self.lame_duck, self.lame_duck_min.or(self.lame_duck_max)) {
            (Some(set), _) => set,
            (None, None) if !self.in_cluster => return Ok(LameDuck::NONE),
            (None, _) => self.lame_duck_of_a_pod(deadline.time, left),
        };
        let (min, max) = match (self.lame_duck_min, self.lame_duck_max) {
            (None, None) => (base.min, base.max),
            (Some(min), None) => (min, base.max.max(min)),
            (None, Some(max)) => (base.min.min(max), max),
            (Some(min), Some(max)) => (min, max),
        };
        if min > max {
            return Err(BudgetError::LameDuckReversed { min, max });
        }
        if max <= left {
            return Ok(LameDuck { min, max });
        }
        if !deadline.capped {
            return Err(BudgetError::SharesExceedDeadline {
                needed: max.saturating_add(reserves),
                deadline: deadline.time,
            });
        }
        warnings.push(Warning::LameDuckShortened { asked: max, got: left });
        Ok(LameDuck { min: min.min(left), max: left })
    }

    fn lame_duck_of_a_pod(&self, deadline: Duration, left: Duration) -> LameDuck {
        // The preStop sleep waits for the same thing: never wait twice.
        let min = LAME_DUCK.min.min(deadline / SHARE).saturating_sub(self.pre_stop).min(left);
        LameDuck { min, max: LAME_DUCK.max.min(deadline / 2).min(left).max(min) }
    }
}

/// The deadline, and whether it is earlier than what was asked for.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    time: Duration,
    capped: bool,
}

impl Deadline {
    /// Takes a limit that ends within `room`, since any longer one would never be reached.
    fn fit(
        self,
        name: &'static str,
        asked: Option<Duration>,
        default: Duration,
        room: Duration,
        warnings: &mut Vec<Warning>,
    ) -> Result<Duration, BudgetError> {
        match asked {
            None => Ok(default),
            Some(asked) if asked <= room => Ok(asked),
            Some(asked) if self.capped => {
                warnings.push(Warning::LimitShortened { name, asked, got: room });
                Ok(room)
            }
            Some(asked) => Err(BudgetError::LimitTooLong { name, asked, room }),
        }
    }
}

#[cfg(test)]
mod tests;
