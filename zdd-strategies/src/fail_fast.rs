//! When failing pods end a rollout, long before any deadline.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zdd_core::{Observation, Reason, TroubleKind, later};

use crate::duration;

/// How much trouble new pods may have before the rollout turns back.
///
/// One crash at the start often heals (a dependency was not ready), so each
/// kind of trouble has a tolerance. Only pods of the new template are judged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailFast {
    /// Restarts that a crashing container gets: with 1, its second crash ends the rollout.
    pub restarts: u32,
    /// How long an image may fail to be pulled, or a container to be configured or run.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::schema"))]
    pub start_errors: Duration,
    /// How long the cluster may refuse to create pods: quota, admission.
    #[serde(with = "duration")]
    #[cfg_attr(feature = "schemars", schemars(schema_with = "duration::schema"))]
    pub refusals: Duration,
}

impl Default for FailFast {
    /// One restart, 10 s of start errors, 10 s of refusals.
    fn default() -> Self {
        Self {
            restarts: 1,
            start_errors: Duration::from_secs(10),
            refusals: Duration::from_secs(10),
        }
    }
}

/// What the policy says about an observation.
#[derive(Debug)]
pub(crate) enum Health {
    /// The tolerance is used up.
    Failing(Reason),
    /// Nothing to complain about, or not yet: ask again at the given time even if nothing changes.
    Tolerable { until: Option<jiff::Timestamp> },
}

impl FailFast {
    /// Sets how many restarts a crashing container gets.
    #[must_use]
    pub fn restarts(mut self, restarts: u32) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets how long a container may fail to start.
    #[must_use]
    pub fn start_errors(mut self, time: Duration) -> Self {
        self.start_errors = time;
        self
    }

    /// Sets how long the cluster may refuse to create pods.
    #[must_use]
    pub fn refusals(mut self, time: Duration) -> Self {
        self.refusals = time;
        self
    }

    pub(crate) fn judge(&self, seen: &Observation<'_>) -> Health {
        let mut until = None;
        for (pod, trouble, lasting) in seen.failing() {
            let over = match trouble.kind {
                // What crashes with so many restarts behind it has had its chances.
                TroubleKind::Crash => trouble.restarts >= self.restarts,
                TroubleKind::Config | TroubleKind::Image | TroubleKind::Run => {
                    if lasting < self.start_errors {
                        let end = later(seen.now(), self.start_errors - lasting);
                        until = Some(until.map_or(end, |other: jiff::Timestamp| other.min(end)));
                    }
                    lasting >= self.start_errors
                }
                // An autoscaler may bring a node; the deadline is the limit. Kinds of trouble that
                // are not known yet are left to the deadline too.
                TroubleKind::Unschedulable | _ => false,
            };
            if over {
                let message = trouble.to_string();
                return Health::Failing(Reason::PodsFailing { pod: pod.name.clone(), message });
            }
        }
        match seen.refused_for() {
            Some((message, lasting)) if lasting >= self.refusals => {
                Health::Failing(Reason::CannotCreatePods { message: message.to_owned() })
            }
            Some((_, lasting)) => {
                let end = later(seen.now(), self.refusals - lasting);
                Health::Tolerable { until: Some(until.map_or(end, |other| other.min(end))) }
            }
            None => Health::Tolerable { until },
        }
    }
}
