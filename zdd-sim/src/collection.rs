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
    /// `jobs.batch`.
    pub const JOBS: Self = Self(Cow::Borrowed("jobs.batch"));
    /// `leases.coordination.k8s.io`.
    pub const LEASES: Self = Self(Cow::Borrowed("leases.coordination.k8s.io"));
    /// `namespaces`.
    pub const NAMESPACES: Self = Self(Cow::Borrowed("namespaces"));
    /// `nodes`.
    pub const NODES: Self = Self(Cow::Borrowed("nodes"));
    /// `horizontalpodautoscalers.autoscaling`.
    pub const POD_AUTOSCALERS: Self = Self(Cow::Borrowed("horizontalpodautoscalers.autoscaling"));
    /// `poddisruptionbudgets.policy`.
    pub const POD_DISRUPTION_BUDGETS: Self = Self(Cow::Borrowed("poddisruptionbudgets.policy"));
    /// `pods`.
    pub const PODS: Self = Self(Cow::Borrowed("pods"));
    /// `replicasets.apps`.
    pub const REPLICA_SETS: Self = Self(Cow::Borrowed("replicasets.apps"));
    /// `resourcequotas`.
    pub const RESOURCE_QUOTAS: Self = Self(Cow::Borrowed("resourcequotas"));
    /// `secrets`.
    pub const SECRETS: Self = Self(Cow::Borrowed("secrets"));
    /// `services`.
    pub const SERVICES: Self = Self(Cow::Borrowed("services"));
    /// `statefulsets.apps`.
    pub const STATEFUL_SETS: Self = Self(Cow::Borrowed("statefulsets.apps"));

    /// Names a collection by its group-resource, for kinds that come from elsewhere.
    #[must_use]
    pub fn new(group_resource: impl Into<Cow<'static, str>>) -> Self {
        Self(group_resource.into())
    }

    /// Returns the plural name, without the group.
    #[must_use]
    pub fn plural(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(plural, _)| plural)
    }

    /// Returns the API group, empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, group)| group)
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
