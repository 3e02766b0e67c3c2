//! The resources of the API that zdd reads or writes.

use std::fmt;

use kube::core::ApiResource;
use zdd_core::{Target, WorkloadKind};

/// One resource of the API: a group, a version, and the names of its kind.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

impl Resource {
    pub(crate) const ACCESS_REVIEWS: Self = Self::new(
        "authorization.k8s.io",
        "v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
    );
    pub(crate) const AUTOSCALERS: Self =
        Self::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    pub(crate) const CONFIG_MAPS: Self = Self::new("", "v1", "ConfigMap", "configmaps");
    pub(crate) const DAEMON_SETS: Self = Self::new("apps", "v1", "DaemonSet", "daemonsets");
    pub(crate) const DEPLOYMENTS: Self = Self::new("apps", "v1", "Deployment", "deployments");
    pub(crate) const ENDPOINT_SLICES: Self =
        Self::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
    pub(crate) const EVENTS: Self = Self::new("events.k8s.io", "v1", "Event", "events");
    pub(crate) const LEASES: Self = Self::new("coordination.k8s.io", "v1", "Lease", "leases");
    pub(crate) const PODS: Self = Self::new("", "v1", "Pod", "pods");
    pub(crate) const QUOTAS: Self = Self::new("", "v1", "ResourceQuota", "resourcequotas");
    pub(crate) const REPLICA_SETS: Self = Self::new("apps", "v1", "ReplicaSet", "replicasets");
    pub(crate) const REVISIONS: Self =
        Self::new("apps", "v1", "ControllerRevision", "controllerrevisions");
    pub(crate) const RULES_REVIEWS: Self = Self::new(
        "authorization.k8s.io",
        "v1",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
    );
    pub(crate) const SERVICES: Self = Self::new("", "v1", "Service", "services");
    pub(crate) const STATEFUL_SETS: Self = Self::new("apps", "v1", "StatefulSet", "statefulsets");

    const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, kind, plural }
    }

    /// Returns the resource of a kind of workload.
    pub(crate) const fn workload(kind: WorkloadKind) -> Self {
        match kind {
            WorkloadKind::DaemonSet => Self::DAEMON_SETS,
            WorkloadKind::Deployment => Self::DEPLOYMENTS,
            WorkloadKind::StatefulSet => Self::STATEFUL_SETS,
        }
    }

    /// Returns the resource that keeps the revisions of a kind of workload.
    pub(crate) const fn history(kind: WorkloadKind) -> Self {
        match kind {
            WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => Self::REVISIONS,
            WorkloadKind::Deployment => Self::REPLICA_SETS,
        }
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Returns the path of the collection, in a namespace or for the whole cluster.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let version = self.api_version();
        match namespace {
            Some(namespace) => format!("{root}/{version}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{version}/{}", self.plural),
        }
    }

    /// Describes the resource to kube.
    pub(crate) fn describe(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// Names one object of this resource, as [`Target`] names workloads.
    pub(crate) fn named(&self, namespace: &str, name: &str) -> String {
        format!("{} {namespace}/{name}", self.kind)
    }

    /// Names all objects of this resource in a namespace.
    pub(crate) fn all(&self, namespace: &str) -> String {
        format!("{} in namespace {namespace}", self.plural)
    }
}

/// Returns the resource of the target.
pub(crate) fn of(target: &Target) -> Resource {
    Resource::workload(target.kind)
}

impl fmt::Display for Resource {
    /// Writes the resource as RBAC and `kubectl` name it: `deployments.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group {
            "" => f.write_str(self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}
