//! Tells by what someone else keeps the controller from replacing pods. Pure.

use std::fmt;

use crate::observation::Observation;
use crate::snapshot::Settings;
use crate::target::WorkloadKind;

/// By what someone else keeps the controller from replacing pods.
///
/// It is their wish, and no lack of progress: a rollout waits until they take it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Standstill {
    /// A StatefulSet or DaemonSet whose pods are replaced when someone deletes them.
    OnDelete,
    /// A StatefulSet's partition above each that its owner or the rollout has set.
    Partition {
        /// What is set.
        present: u32,
        /// What keeps nothing back that was meant to be replaced.
        own: u32,
    },
    /// A paused Deployment.
    Paused,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDelete => f.write_str(
                "someone set updateStrategy.type to OnDelete; waiting for RollingUpdate",
            ),
            Self::Partition { present, own } => {
                write!(f, "someone set the partition to {present}; waiting until it is {own} again")
            }
            Self::Paused => f.write_str("someone paused it; waiting for kubectl rollout resume"),
        }
    }
}

impl Observation<'_> {
    /// Says by what someone else keeps the controller from replacing pods.
    #[must_use]
    pub fn standstill(&self) -> Option<Standstill> {
        let workload = self.workload()?;
        if workload.paused && !self.state().paused {
            return Some(match self.kind() {
                WorkloadKind::Deployment => Standstill::Paused,
                WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => Standstill::OnDelete,
            });
        }
        let partition = |settings: &Settings| settings.partition.unwrap_or(0);
        let ours = self.state().set.iter().map(partition).max().unwrap_or(0);
        let own = ours.max(partition(&self.baseline().settings));
        let present = workload.settings.partition.filter(|present| *present > own)?;
        Some(Standstill::Partition { present, own })
    }
}
