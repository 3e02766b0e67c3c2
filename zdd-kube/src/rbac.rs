//! What zdd must be allowed to do, as a table.

use zdd_core::WorkloadKind;

use crate::resource::Resource;

/// One line of the minimal role.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// When they are needed.
    pub need: Need,
}

/// When a permission is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "those who build a role must decide for each")]
pub enum Need {
    /// By every rollout.
    Always,
    /// By rollouts of one kind of workload.
    Kind(WorkloadKind),
    /// Only to tell more; without it a rollout goes on.
    Optional,
}

impl Need {
    /// Tells whether a rollout of this kind of workload cannot do without.
    #[must_use]
    pub fn applies_to(self, kind: WorkloadKind) -> bool {
        match self {
            Self::Always => true,
            Self::Kind(of) => of == kind,
            Self::Optional => false,
        }
    }
}

const READ: &[&str] = &["list", "watch"];
const WORKLOAD: &[&str] = &["get", "list", "patch", "watch"];
const KEEP: &[&str] = &["create", "get", "patch"];

const fn rule(resource: Resource, verbs: &'static [&'static str], need: Need) -> Rule {
    Rule { group: resource.group, resource: resource.plural, verbs, need }
}

/// The permissions that zdd uses, in the namespace of the target: those of `manifests/role.yaml`.
///
/// # Examples
/// ```
/// use zdd_core::WorkloadKind;
///
/// let rules = zdd_kube::rbac::RULES.iter();
/// let needed = rules.filter(|rule| rule.need.applies_to(WorkloadKind::Deployment));
/// assert!(needed.clone().any(|rule| rule.resource == "deployments"));
/// assert!(!needed.clone().any(|rule| rule.resource == "statefulsets"));
/// ```
pub const RULES: &[Rule] = &[
    rule(Resource::DEPLOYMENTS, WORKLOAD, Need::Kind(WorkloadKind::Deployment)),
    rule(Resource::REPLICA_SETS, READ, Need::Kind(WorkloadKind::Deployment)),
    rule(Resource::STATEFUL_SETS, WORKLOAD, Need::Kind(WorkloadKind::StatefulSet)),
    rule(Resource::DAEMON_SETS, WORKLOAD, Need::Kind(WorkloadKind::DaemonSet)),
    rule(Resource::REVISIONS, READ, Need::Kind(WorkloadKind::StatefulSet)),
    rule(Resource::REVISIONS, READ, Need::Kind(WorkloadKind::DaemonSet)),
    rule(Resource::PODS, READ, Need::Always),
    // A StatefulSet waits for a broken pod for ever, also on the way back.
    rule(Resource::PODS, &["delete", "get"], Need::Kind(WorkloadKind::StatefulSet)),
    rule(Resource::SERVICES, READ, Need::Always),
    rule(Resource::ENDPOINT_SLICES, READ, Need::Always),
    rule(Resource::CONFIG_MAPS, KEEP, Need::Always),
    rule(Resource::LEASES, KEEP, Need::Always),
    // StatefulSets and DaemonSets tell in Events alone that pods cannot be created.
    rule(Resource::EVENTS, &["create", "list", "watch"], Need::Optional),
    rule(Resource::AUTOSCALERS, &["list"], Need::Optional),
    rule(Resource::QUOTAS, &["list"], Need::Optional),
];
