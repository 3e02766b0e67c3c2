//! The controllers of kube-controller-manager, the scheduler and the kubelet, as
//! functions that look at one object and write what is missing.
//!
//! They read the store's newest state and not a cache: staleness is modelled by
//! the delay after which a controller looks, and by pausing it.

pub(crate) mod context;
pub(crate) mod deployment;
pub(crate) mod endpoint_slice;
pub(crate) mod index;
pub(crate) mod meta;
pub(crate) mod pods;
pub(crate) mod queue;
pub(crate) mod replica_set;
pub(crate) mod scheduler;

use std::fmt;
use std::time::Duration;

/// Names a controller, to pause it or to set its delay.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Controller {
    /// Rolls Deployments by scaling their ReplicaSets.
    Deployment,
    /// Writes the EndpointSlices of Services.
    EndpointSlice,
    /// Runs the containers of pods.
    Kubelet,
    /// Creates and deletes the pods of ReplicaSets.
    ReplicaSet,
    /// Binds pods to nodes.
    Scheduler,
}

impl Controller {
    /// All controllers.
    pub const ALL: &[Self] =
        &[Self::Deployment, Self::EndpointSlice, Self::Kubelet, Self::ReplicaSet, Self::Scheduler];

    /// Returns the name under which the controller writes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "deployment-controller",
            Self::EndpointSlice => "endpointslice-controller",
            Self::Kubelet => "kubelet",
            Self::ReplicaSet => "replicaset-controller",
            Self::Scheduler => "default-scheduler",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a controller wants to look at an object again, without a write that makes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// After a time.
    After(Duration),
    /// Never.
    Done,
    /// After a failure: soon, and later with each failure in a row.
    Retry,
}

impl Next {
    pub(crate) fn after(time: Option<Duration>) -> Self {
        time.map_or(Self::Done, Self::After)
    }
}
