//! The workload must replace its pods by a rolling update.

use zdd_core::WorkloadKind;

use super::{Facts, Findings};
use crate::objects::{IntOrString, StrategyKind};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let kind = facts.request.target.kind;
    let field = match kind {
        WorkloadKind::Deployment => "spec.strategy",
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => "spec.updateStrategy",
    };
    let strategy = &facts.workload.body.spec.update_strategy;
    match strategy.r#type {
        StrategyKind::RollingUpdate => {}
        StrategyKind::Recreate => findings.refuse(format!(
            "{field}.type is Recreate, which ends all pods before it starts new ones; \
             set it to RollingUpdate"
        )),
        StrategyKind::OnDelete => findings.refuse(format!(
            "{field}.type is OnDelete, which leaves the pods to you; set it to RollingUpdate"
        )),
        StrategyKind::Other => {
            findings.refuse(format!("{field}.type is unknown; set it to RollingUpdate"));
        }
    }
    let rolling = strategy.rolling_update.as_ref();
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
    if kind == WorkloadKind::StatefulSet && partition > 0 {
        findings.warn(format!(
            "{field}.rollingUpdate.partition is {partition}: pods below that ordinal keep the \
             present template"
        ));
    }
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).map(IntOrString::amount);
    let missing =
        rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).map(IntOrString::part);
    for (name, problem) in [
        ("maxSurge", surge.and_then(Result::err)),
        ("maxUnavailable", missing.and_then(Result::err)),
    ] {
        // What cannot be understood could not be given back.
        if let Some(error) = problem {
            findings.refuse(format!("{field}.rollingUpdate.{name}: {error}; set it to one"));
        }
    }
}
