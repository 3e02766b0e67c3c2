//! The closed set of changes that a rollout makes to the cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::snapshot::{Settings, Snapshot, Uid};
use crate::template::Template;

/// One change of the cluster.
///
/// Every step is idempotent: [`Step::holds`] tells from a snapshot whether
/// there is anything left to do, so a step whose outcome is unknown is looked
/// up, never assumed. [`Step::inverse`] names what takes it back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "cluster adapters must implement every step")]
pub enum Step {
    /// Deletes a broken pod so that its controller makes a new one.
    DeletePod {
        /// The pod's identity; another pod of the same name is left alone.
        uid: Uid,
        /// The pod's name.
        name: String,
    },
    /// Stops the controller from rolling.
    Pause,
    /// Sets how many low ordinals keep the old template.
    SetPartition {
        /// The lowest ordinal that gets the new template.
        partition: u32,
    },
    /// Gives the knobs back to their owner: the values from before the rollout.
    RestoreSettings {
        /// The values.
        settings: Settings,
    },
    /// Lets the controller roll again.
    Resume,
    /// Sets the desired pod template, and in the same write the knobs for rolling it out.
    SetTemplate {
        /// The template.
        template: Template,
        /// The knobs; those that are `None` stay as they are.
        settings: Settings,
    },
}

/// What takes a step back.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a step has an inverse or has none")]
pub enum Inverse {
    /// Nothing: after this step there is no way back.
    PointOfNoReturn,
    /// Another step.
    Step(Step),
    /// Nothing has to be taken back: the step leaves no trace that matters.
    Unneeded,
}

impl Step {
    /// Returns the step's name, for events and journals.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::DeletePod { .. } => "delete-pod",
            Self::Pause => "pause",
            Self::SetPartition { .. } => "set-partition",
            Self::RestoreSettings { .. } => "restore-settings",
            Self::Resume => "resume",
            Self::SetTemplate { .. } => "set-template",
        }
    }

    /// Tells whether the snapshot shows what this step brings about: the step's post-condition.
    ///
    /// It says nothing about pods. Waiting for them is the strategy's decision.
    #[must_use]
    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        let Some(workload) = &snapshot.workload else {
            return false;
        };
        match self {
            Self::DeletePod { uid, .. } => {
                snapshot.pods.iter().all(|pod| pod.uid != *uid || pod.terminating)
            }
            Self::Pause => workload.paused,
            Self::SetPartition { partition } => workload.settings.partition == Some(*partition),
            Self::RestoreSettings { settings } => workload.settings.covers(settings),
            Self::Resume => !workload.paused,
            Self::SetTemplate { template, settings } => {
                workload.template == *template && workload.settings.covers(settings)
            }
        }
    }

    /// Names what takes this step back, given what was seen before it.
    #[must_use]
    pub fn inverse(&self, before: &Snapshot) -> Inverse {
        let Some(workload) = &before.workload else {
            return Inverse::PointOfNoReturn;
        };
        match self {
            Self::DeletePod { .. } => Inverse::Unneeded,
            Self::Pause => Inverse::Step(Self::Resume),
            Self::SetPartition { .. } => match workload.settings.partition {
                Some(partition) => Inverse::Step(Self::SetPartition { partition }),
                None => Inverse::Unneeded,
            },
            Self::RestoreSettings { .. } => {
                Inverse::Step(Self::RestoreSettings { settings: workload.settings.clone() })
            }
            Self::Resume => Inverse::Step(Self::Pause),
            Self::SetTemplate { settings, .. } => Inverse::Step(Self::SetTemplate {
                template: workload.template.clone(),
                settings: settings.clone(),
            }),
        }
    }
}

impl Settings {
    /// Tells whether these are the wanted values, wherever `wanted` names one.
    #[must_use]
    pub fn covers(&self, wanted: &Self) -> bool {
        fn same<T: PartialEq>(have: Option<&T>, wanted: Option<&T>) -> bool {
            wanted.is_none() || have == wanted
        }
        same(self.max_surge.as_ref(), wanted.max_surge.as_ref())
            && same(self.max_unavailable.as_ref(), wanted.max_unavailable.as_ref())
            && same(self.min_ready_seconds.as_ref(), wanted.min_ready_seconds.as_ref())
            && same(self.partition.as_ref(), wanted.partition.as_ref())
    }

    /// Keeps, knob by knob, the values where what is `present` is what one of `set` has set: knobs
    /// that someone else has turned since are left out.
    pub(crate) fn where_still(&self, set: &[Self], present: &Self) -> Self {
        fn still<T: PartialEq + Copy>(
            value: Option<T>,
            set: &[Settings],
            present: Option<T>,
            knob: impl Fn(&Settings) -> Option<T>,
        ) -> Option<T> {
            value.filter(|_| present.is_some() && set.iter().any(|one| knob(one) == present))
        }
        Self {
            max_surge: still(self.max_surge, set, present.max_surge, |one| one.max_surge),
            max_unavailable: still(self.max_unavailable, set, present.max_unavailable, |one| {
                one.max_unavailable
            }),
            min_ready_seconds: still(
                self.min_ready_seconds,
                set,
                present.min_ready_seconds,
                |one| one.min_ready_seconds,
            ),
            partition: still(self.partition, set, present.partition, |one| one.partition),
        }
    }

    /// Returns these values where they are set, and `base` for the rest.
    #[must_use]
    pub fn or(&self, base: &Self) -> Self {
        Self {
            max_surge: self.max_surge.or(base.max_surge),
            max_unavailable: self.max_unavailable.or(base.max_unavailable),
            min_ready_seconds: self.min_ready_seconds.or(base.min_ready_seconds),
            partition: self.partition.or(base.partition),
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: Option<String>| {
            let Some(value) = value else { return Ok(()) };
            write!(f, "{separator}{name} {value}")?;
            separator = ", ";
            Ok(())
        };
        part(f, "maxSurge", self.max_surge.map(|amount| amount.to_string()))?;
        part(f, "maxUnavailable", self.max_unavailable.map(|part| part.to_string()))?;
        part(f, "minReadySeconds", self.min_ready_seconds.map(|seconds| seconds.to_string()))?;
        part(f, "partition", self.partition.map(|ordinal| ordinal.to_string()))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeletePod { name, .. } => write!(f, "delete the broken pod {name}"),
            Self::Pause => f.write_str("pause"),
            Self::SetPartition { partition } => write!(f, "set partition to {partition}"),
            Self::RestoreSettings { settings } => write!(f, "give settings back ({settings})"),
            Self::Resume => f.write_str("resume"),
            Self::SetTemplate { settings, .. } => write!(f, "set the pod template ({settings})"),
        }
    }
}
