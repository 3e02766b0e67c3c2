//! Readiness is what a rollout waits for: it must mean something.

use super::{Facts, Findings};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for container in &facts.pod.containers {
        let name = &container.name;
        match (&container.readiness_probe, &container.liveness_probe) {
            (None, _) if facts.services.is_empty() => {
                findings.warn(format!("container {name} has no readinessProbe"));
            }
            // Not refused: a sidecar rightly has none, and the image may be quick enough.
            (None, _) => findings.warn(format!(
                "container {name} has no readinessProbe: it gets requests as soon as its process \
                 runs, whether it listens or not; requests may fail"
            )),
            (Some(readiness), Some(liveness)) if readiness == liveness => findings.warn(format!(
                "container {name} has the same probe for readiness and liveness: when it is slow \
                 it is killed instead of spared"
            )),
            (Some(_), _) => {}
        }
    }
}
