//! The workload has all its pods, and none restarts.

use std::time::Duration;

use async_trait::async_trait;
use zdd_core::{GateContext, GatePolicy, HealthGate, Verdict};

/// Passes while every desired pod is available and no new pod is in trouble.
///
/// After a rollout is complete a Deployment's own progress is no longer
/// evaluated, so pods that fail later show only here.
#[derive(Clone, Debug)]
pub struct Available {
    policy: GatePolicy,
}

impl Available {
    /// Makes the gate: evaluated every 5 s, two failures in a row roll back.
    #[must_use]
    pub fn new() -> Self {
        let mut policy = GatePolicy::default();
        policy.interval = Duration::from_secs(5);
        policy.failures = 2;
        Self { policy }
    }

    /// Replaces the policy.
    #[must_use]
    pub fn with_policy(mut self, policy: GatePolicy) -> Self {
        self.policy = policy;
        self
    }
}

impl Default for Available {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl HealthGate for Available {
    fn name(&self) -> &'static str {
        "available"
    }

    async fn check(&self, context: &GateContext<'_>) -> Verdict {
        let Some(workload) = &context.snapshot.workload else {
            return Verdict::Inconclusive(format!("{} does not exist", context.target));
        };
        let troubled =
            context.snapshot.updated().find_map(|pod| Some((pod, pod.trouble.as_ref()?)));
        if let Some((pod, trouble)) = troubled {
            return Verdict::Fail(format!("pod {}: {trouble}", pod.name));
        }
        let (have, want) = (workload.counts.available, workload.replicas);
        if have < want {
            return Verdict::Fail(format!("{have} of {want} pods are available"));
        }
        Verdict::Pass(format!("{have} of {want} pods are available"))
    }

    fn policy(&self) -> GatePolicy {
        self.policy.clone()
    }
}
