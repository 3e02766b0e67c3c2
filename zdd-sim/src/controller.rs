//! The controllers of kube-controller-manager, the scheduler and the kubelet, as
//! functions that look at one object and write what is missing.
//!
//! They read the store's newest state and not a cache: staleness is modelled by
//! the delay after which a controller looks, and by pausing it.

pub(crate) mod context;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod disruption;
pub(crate) mod endpoint_slice;
pub(crate) mod garbage;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod job;
pub(crate) mod meta;
pub(crate) mod namespace;
pub(crate) mod pods;
pub(crate) mod queue;
pub(crate) mod quota;
pub(crate) mod replica_set;
pub(crate) mod scheduler;
pub(crate) mod stateful_set;

use std::fmt;
use std::time::Duration;

/// Names a controller, to pause it or to set its delay.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Controller {
    /// Keeps one pod of a DaemonSet on each node.
    DaemonSet,
    /// Rolls Deployments by scaling their ReplicaSets.
    Deployment,
    /// Says in PodDisruptionBudgets how many pods may go.
    Disruption,
    /// Writes the EndpointSlices of Services.
    EndpointSlice,
    /// Removes objects whose owner is gone.
    GarbageCollector,
    /// Runs the pods of Jobs.
    Job,
    /// Runs the containers of pods.
    Kubelet,
    /// Fills new namespaces and empties deleted ones.
    Namespace,
    /// Creates and deletes the pods of ReplicaSets.
    ReplicaSet,
    /// Says in ResourceQuotas what is used.
    ResourceQuota,
    /// Binds pods to nodes.
    Scheduler,
    /// Creates and replaces the pods of StatefulSets in order.
    StatefulSet,
}

impl Controller {
    /// Returns the name under which the controller writes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonset-controller",
            Self::Deployment => "deployment-controller",
            Self::Disruption => "disruption-controller",
            Self::EndpointSlice => "endpointslice-controller",
            Self::GarbageCollector => "generic-garbage-collector",
            Self::Job => "job-controller",
            Self::Kubelet => "kubelet",
            Self::Namespace => "namespace-controller",
            Self::ReplicaSet => "replicaset-controller",
            Self::ResourceQuota => "resourcequota-controller",
            Self::Scheduler => "default-scheduler",
            Self::StatefulSet => "statefulset-controller",
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
