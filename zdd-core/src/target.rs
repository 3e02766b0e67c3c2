//! Names the workload that a rollout changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of workload that a rollout can drive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "strategies must decide for each kind")]
pub enum WorkloadKind {
    /// One pod per node.
    DaemonSet,
    /// Interchangeable pods; surge is possible.
    Deployment,
    /// Pods with identity, replaced in place.
    StatefulSet,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        })
    }
}

/// A workload: kind, namespace and name.
///
/// # Examples
/// ```
/// let target = zdd_core::Target::deployment("default", "web");
/// assert_eq!(target.to_string(), "Deployment default/web");
/// ```
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct Target {
    /// What kind of workload it is.
    pub kind: WorkloadKind,
    /// The namespace it lives in.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Names a workload of the given kind.
    #[must_use]
    pub fn new(kind: WorkloadKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// Names a DaemonSet.
    #[must_use]
    pub fn daemon_set(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(WorkloadKind::DaemonSet, namespace, name)
    }

    /// Names a Deployment.
    #[must_use]
    pub fn deployment(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(WorkloadKind::Deployment, namespace, name)
    }

    /// Names a StatefulSet.
    #[must_use]
    pub fn stateful_set(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(WorkloadKind::StatefulSet, namespace, name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
