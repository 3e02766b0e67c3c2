//! Two pods cannot have the same port of a node.

use zdd_core::{Amount, WorkloadKind};

use super::{Facts, Findings};
use crate::snapshot::settings;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let containers = facts.pod.containers.iter();
    let takes_port = containers.flat_map(|container| &container.ports);
    let Some(port) = takes_port.filter_map(|port| port.host_port).find(|port| *port != 0) else {
        return;
    };
    let kind = facts.request.target.kind;
    let present = settings(kind, &facts.workload.body);
    let surge = facts.request.settings.or(&present).max_surge.unwrap_or(Amount::ZERO);
    let surges = !surge.is_zero();
    match kind {
        WorkloadKind::DaemonSet if surges => findings.refuse(format!(
            "it uses port {port} of its nodes, so a new pod cannot start beside the old one; \
             roll it without surge (maxSurge 0, maxUnavailable 1), which leaves a gap on each \
             node, or give up hostPort"
        )),
        WorkloadKind::Deployment if surges => findings.warn(format!(
            "it uses port {port} of its nodes: a new pod needs a node without an old one"
        )),
        WorkloadKind::DaemonSet | WorkloadKind::Deployment | WorkloadKind::StatefulSet => {}
    }
}
