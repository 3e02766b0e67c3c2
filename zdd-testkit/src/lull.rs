//! Parts of the cluster that stand still for a while, as they do when a leader changes or a node is
//! slow.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use zdd_core::WorkloadKind;
use zdd_sim::{Cluster, Controller};

/// The longest time in which the news of an ending pod may be late. Pods serve for 5 s after they
/// are told to end; what comes after that is lost whoever rolls.
const LATE: u64 = 3_500;
/// The longest time in which anything else stands still: well within the progress deadlines of the
/// scenarios.
const LONG: u64 = 20_000;

/// The longest time in which the API does not answer: longer than a lease is valid, and within what
/// the engine waits for.
const AWAY: u64 = 90_000;

/// A part of the cluster that stands still for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lull {
    /// What stands still.
    pub part: Still,
    /// For how long.
    pub time: Duration,
}

/// What can stand still.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Still {
    /// The API server: it answers nobody.
    Api,
    /// One controller.
    Controller(Controller),
    /// All that learns where requests go: it keeps the routes that it has.
    DataPlane,
}

impl Lull {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let part = PARTS[random.usize(..PARTS.len())];
        let longest = match part {
            Still::Api => AWAY,
            Still::DataPlane | Still::Controller(Controller::EndpointSlice) => LATE,
            Still::Controller(_) => LONG,
        };
        Self { part, time: Duration::from_millis(random.u64(1..=longest)) }
    }

    /// Lets the part stand still for its time.
    pub(crate) async fn make(self, cluster: &Cluster) {
        match self.part {
            Still::Api => cluster.stop_api(),
            Still::Controller(controller) => cluster.pause(controller),
            Still::DataPlane => cluster.freeze_data_plane(),
        }
        tokio::time::sleep(self.time).await;
        match self.part {
            Still::Api => cluster.start_api(),
            Still::Controller(controller) => cluster.resume(controller),
            Still::DataPlane => cluster.thaw_data_plane(),
        }
    }

    /// Tells whether the lull can be felt by a rollout of this kind.
    pub(crate) fn concerns(self, kind: WorkloadKind) -> bool {
        match self.part {
            Still::Controller(Controller::Deployment | Controller::ReplicaSet) => {
                kind == WorkloadKind::Deployment
            }
            Still::Controller(Controller::StatefulSet) => kind == WorkloadKind::StatefulSet,
            Still::Controller(Controller::DaemonSet) => kind == WorkloadKind::DaemonSet,
            Still::Api | Still::Controller(_) | Still::DataPlane => true,
        }
    }
}

/// What seeds draw from.
const PARTS: [Still; 9] = [
    Still::Api,
    Still::DataPlane,
    Still::Controller(Controller::EndpointSlice),
    Still::Controller(Controller::Kubelet),
    Still::Controller(Controller::Scheduler),
    Still::Controller(Controller::DaemonSet),
    Still::Controller(Controller::Deployment),
    Still::Controller(Controller::ReplicaSet),
    Still::Controller(Controller::StatefulSet),
];

impl fmt::Display for Still {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("api"),
            Self::Controller(controller) => f.write_str(controller.name()),
            Self::DataPlane => f.write_str("data-plane"),
        }
    }
}

impl fmt::Display for Lull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.part, self.time.as_millis())
    }
}

impl FromStr for Lull {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, time) = text.split_once('=').ok_or(())?;
        let part = PARTS.into_iter().find(|part| part.to_string() == name).ok_or(())?;
        Ok(Self { part, time: Duration::from_millis(time.parse().map_err(|_| ())?) })
    }
}
