//! What can be set about a rolling update, and its safe defaults.

use std::time::Duration;

use thiserror::Error;
use zdd_core::{Amount, Part};

use crate::fail_fast::FailFast;

/// The settings of [`Rolling`](crate::Rolling), as plain data.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RollingConfig {
    /// How many pods may exist beyond the desired number. A StatefulSet has no surge and ignores it.
    pub max_surge: Amount,
    /// Seconds that a pod must be ready before an old one goes; `None` keeps the workload's own.
    ///
    /// This is the time that proxies have to learn about new pods.
    pub min_ready_seconds: Option<u32>,
    /// A first part of the pods that is watched before the rest follows.
    pub stage: Option<Stage>,
    /// How long everything must stay well, under the gates, after the last pod was replaced.
    pub soak: Duration,
    /// How long there may be no progress before the rollout turns back.
    pub progress_deadline: Duration,
    /// When failing pods end the rollout before that.
    pub fail_fast: FailFast,
    /// How long a pod drains after SIGTERM; a pod whose grace is shorter is refused.
    pub drain: Option<Duration>,
}

/// A first part of the pods that is watched before the rest follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stage {
    /// How many pods, rounded up.
    pub first: Part,
    /// How long they are watched, under the gates.
    pub bake: Duration,
}

impl Stage {
    /// Makes a stage.
    #[must_use]
    pub fn new(first: impl Into<Part>, bake: Duration) -> Self {
        Self { first: first.into(), bake }
    }
}

impl Default for RollingConfig {
    /// One pod of surge, no stage, no soak, 10 min without progress, the default [`FailFast`].
    fn default() -> Self {
        Self {
            max_surge: Amount::Count(1),
            min_ready_seconds: None,
            stage: None,
            soak: Duration::ZERO,
            progress_deadline: Duration::from_secs(600),
            fail_fast: FailFast::default(),
            drain: None,
        }
    }
}

impl RollingConfig {
    /// Sets how many pods may exist beyond the desired number.
    #[must_use]
    pub fn max_surge(mut self, amount: impl Into<Amount>) -> Self {
        self.max_surge = amount.into();
        self
    }

    /// Sets how long a pod must be ready before an old one goes.
    #[must_use]
    pub fn min_ready_seconds(mut self, seconds: u32) -> Self {
        self.min_ready_seconds = Some(seconds);
        self
    }

    /// Watches a first part of the pods before the rest follows.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    /// Sets how long everything must stay well after the last pod was replaced.
    #[must_use]
    pub fn soak(mut self, time: Duration) -> Self {
        self.soak = time;
        self
    }

    /// Sets how long there may be no progress.
    #[must_use]
    pub fn progress_deadline(mut self, time: Duration) -> Self {
        self.progress_deadline = time;
        self
    }

    /// Sets when failing pods end the rollout.
    #[must_use]
    pub fn fail_fast(mut self, policy: FailFast) -> Self {
        self.fail_fast = policy;
        self
    }

    /// Names how long a pod drains after SIGTERM.
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = Some(time);
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidRolling> {
        if self.max_surge.is_zero() {
            return Err(InvalidRolling::NoSurge);
        }
        if self.stage.is_some_and(|stage| stage.first.is_zero()) {
            return Err(InvalidRolling::EmptyStage);
        }
        if self.progress_deadline.is_zero() {
            return Err(InvalidRolling::NoTime);
        }
        Ok(())
    }
}

/// Settings with which no rolling update can succeed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InvalidRolling {
    /// A stage of no pods.
    #[error("the first stage has no pods; ask for at least one, or leave the stage out")]
    EmptyStage,
    /// Without surge and without missing pods no pod can ever be replaced.
    #[error(
        "maxSurge is 0; no pod may be missing, so at least one must be allowed beyond the desired number"
    )]
    NoSurge,
    /// No time for progress.
    #[error("the progress deadline is 0; give new pods time to start")]
    NoTime,
}
