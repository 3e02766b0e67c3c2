//! What the Services in front of the pods mean for a rollout.

use super::{Facts, Findings};
use crate::objects::{Affinity, ServiceKind, TrafficPolicy};
use crate::snapshot::{labels, template_labels};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    if facts.services.is_empty() {
        findings.warn(
            "no Service selects its pods: nothing shows whether traffic has followed, and only \
             the pods' own readiness is waited for",
        );
    }
    let new = template_labels(facts.template.as_value());
    let old = labels(&facts.workload.body);
    for service in facts.services {
        let (name, spec) = (&service.meta.name, &service.body.spec);
        if spec.r#type == ServiceKind::ExternalName {
            findings.warn(format!(
                "Service {name} is an ExternalName: it leads elsewhere, whatever its selector says"
            ));
            continue;
        }
        if spec.selects(&old) && !spec.selects(&new) {
            findings.refuse(format!(
                "Service {name} selects the present pods but would not select the new ones; \
                 keep the labels that it selects, or change its selector first"
            ));
        }
        if spec.is_headless() {
            findings.warn(format!(
                "Service {name} is headless: clients find pods by DNS and may keep addresses of \
                 pods that are gone"
            ));
        }
        if spec.session_affinity == Affinity::ClientIP {
            findings.warn(format!(
                "Service {name} has session affinity: each client moves to a new pod once, when \
                 its own goes"
            ));
        }
        if spec.publish_not_ready_addresses {
            findings.warn(format!(
                "Service {name} publishes pods that are not ready: new pods get requests before \
                 they can answer them"
            ));
        }
        if spec.external_traffic_policy == TrafficPolicy::Local {
            findings.warn(format!(
                "Service {name} has externalTrafficPolicy Local: a node without a pod drops \
                 traffic from outside until the load balancer notices"
            ));
        }
    }
}
