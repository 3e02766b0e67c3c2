//! What can be set about a rolling update, and its safe defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zdd_core::{Amount, Part};

use crate::duration;
use crate::fail_fast::FailFast;

/// The settings of [`Rolling`](crate::Rolling), as plain data.
///
/// In a configuration file each setting may be left out, and a word that is none of them is an
/// error. Times are text with units, as `90s`, `10m`, `1h 30m`, or as ISO 8601 has them.
///
/// # Examples
/// ```
/// use zdd_strategies::{Rolling, RollingConfig};
///
/// let config: RollingConfig = serde_saphyr::from_str("
/// maxSurge: 25%
/// minReadySeconds: 10
/// stage: { first: 1, bake: 5m }
/// soak: 10m
/// progressDeadline: 15m
/// failFast: { restarts: 2, startErrors: 30s }
/// drain: 25s
/// ")?;
/// let rolling = Rolling::new(config)?;
/// # drop(rolling);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schemars", schemars(description = "The settings of a rolling update."))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct RollingConfig {
    /// How many pods may exist beyond the desired number. A StatefulSet has no surge and ignores it.
    pub max_surge: Amount,
    /// Seconds that a pod must be ready before an old one goes; those of the workload without it.
    ///
    /// This is the time that proxies have to learn about new pods.
    pub min_ready_seconds: Option<u32>,
    /// A first part of the pods that is watched before the rest follows.
    pub stage: Option<Stage>,
    /// How long everything must stay well, under the gates, after the last pod was replaced.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::schema"))]
    pub soak: Duration,
    /// How long there may be no progress before the rollout turns back.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::schema"))]
    pub progress_deadline: Duration,
    /// When failing pods end the rollout before that.
    pub fail_fast: FailFast,
    /// How long a pod drains after SIGTERM; a pod whose grace is shorter is refused.
    #[serde(with = "duration::optional")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::optional_schema"))]
    pub drain: Option<Duration>,
}

/// A first part of the pods that is watched before the rest follows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stage {
    /// How many pods, rounded up.
    pub first: Part,
    /// How long they are watched, under the gates.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::schema"))]
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
