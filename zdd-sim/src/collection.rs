//! Names the collections of objects that a cluster holds.

use std::borrow::Cow;
use std::fmt;

/// A collection of objects of one kind, written as Kubernetes writes a
/// group-resource: `pods`, `deployments.apps`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Collection(Cow<'static, str>);

impl Collection {
    /// `configmaps`.
    pub const CONFIG_MAPS: Self = Self(Cow::Borrowed("configmaps"));
    /// `controllerrevisions.apps`.
    pub const CONTROLLER_REVISIONS: Self = Self(Cow::Borrowed("controllerrevisions.apps"));
    /// `daemonsets.apps`.
    pub const DAEMON_SETS: Self = Self(Cow::Borrowed("daemonsets.apps"));
    /// `deployments.apps`.
    pub const DEPLOYMENTS: Self = Self(Cow::Borrowed("deployments.apps"));
    /// `endpointslices.discovery.k8s.io`.
    pub const ENDPOINT_SLICES: Self = Self(Cow::Borrowed("endpointslices.discovery.k8s.io"));
    /// `events` of the core group; `events.k8s.io` is served from the same objects.
    pub const EVENTS: Self = Self(Cow::Borrowed("events"));
    /// `leases.coordination.k8s.io`.
    pub const LEASES: Self = Self(Cow::Borrowed("leases.coordination.k8s.io"));
    /// `namespaces`.
    pub const NAMESPACES: Self = Self(Cow::Borrowed("namespaces"));
    /// `nodes`.
    pub const NODES: Self = Self(Cow::Borrowed("nodes"));
    /// `pods`.
    pub const PODS: Self = Self(Cow::Borrowed("pods"));
    /// `replicasets.apps`.
    pub const REPLICA_SETS: Self = Self(Cow::Borrowed("replicasets.apps"));
    /// `resourcequotas`.
    pub const RESOURCE_QUOTAS: Self = Self(Cow::Borrowed("resourcequotas"));
    /// `services`.
    pub const SERVICES: Self = Self(Cow::Borrowed("services"));
    /// `statefulsets.apps`.
    pub const STATEFUL_SETS: Self = Self(Cow::Borrowed("statefulsets.apps"));

    /// Names a collection by its group-resource, for kinds that come from elsewhere.
    #[must_use]
    pub fn new(group_resource: impl Into<Cow<'static, str>>) -> Self {
        Self(group_resource.into())
    }

    /// Returns the group-resource.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
