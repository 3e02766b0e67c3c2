//! The staged pause: a first part of the pods, watched before the rest follows.
//!
//! A StatefulSet's partition makes the stage exact. A Deployment is paused as
//! soon as the first pods exist: its surge is limited to the stage until then,
//! so the controller cannot go on before one of them has been available.

use jiff::Timestamp;
use zdd_core::{
    Amount, Decision, Milestone, Observation, Settings, Step, Wait, Workload, WorkloadKind, later,
};

use super::{CONVERGED, Rolling, watched};

/// The first pods are there and available.
const STAGED: Milestone = Milestone::new("staged");
/// The first pods were watched long enough.
const BAKED: Milestone = Milestone::new("baked");

impl Rolling {
    /// Returns the settings for the first write: those of the stage, if there is one.
    pub(super) fn first_settings(&self, seen: &Observation<'_>) -> Settings {
        use zdd_core::DeploymentStrategy;
        let mut settings = self.settings(seen.kind());
        let Some(workload) = seen.workload() else { return settings };
        let first = self.staged_pods(seen, workload);
        if seen.kind() == WorkloadKind::StatefulSet {
            settings.partition = settings
                .partition
                .map(|_| first.map_or(end_partition(seen), |first| workload.replicas - first));
        } else if let Some(first) = first {
            let surge = self.config.max_surge.round_up(workload.replicas);
            settings.max_surge = Some(Amount::Count(surge.min(first)));
        }
        settings
    }

    /// Decides within the stage; `None` when there is no stage, or it is over and undone.
    pub(super) fn stage(
        &self,
        seen: &Observation<'_>,
        workload: &Workload,
        until: Option<Timestamp>,
    ) -> Option<Decision> {
        // Nothing was set, so there is nothing to stage; or all pods have followed already.
        seen.state().template.as_ref()?;
        if seen.reached(&CONVERGED).is_some() {
            return None;
        }
        let stage = self.config.stage?;
        let first = self.staged_pods(seen, workload);
        // Baked, or scaled to so few pods that the stage would be all of them.
        let Some(first) = first.filter(|_| seen.reached(&BAKED).is_none()) else {
            return self.end_stage(seen, workload);
        };
        let Some(staged) = seen.reached(&STAGED) else {
            return Some(self.fill_stage(seen, workload, first, until));
        };
        let end = later(staged, stage.bake);
        Some(watched(seen, "bake", end).unwrap_or(Decision::Reach(BAKED)))
    }

    fn fill_stage(
        &self,
        seen: &Observation<'_>,
        workload: &Workload,
        first: u32,
        until: Option<Timestamp>,
    ) -> Decision {
        if seen.kind() == WorkloadKind::StatefulSet {
            // Scaled down since: the stage counts from the highest ordinal that is left.
            let partition = workload.replicas - first;
            if workload.settings.partition.is_some_and(|set| set > partition) {
                return Decision::Apply(Step::SetPartition { partition });
            }
        }
        let new = || seen.snapshot().updated().filter(|pod| !pod.terminating);
        let made = new().count() >= first as usize;
        if made && seen.kind() == WorkloadKind::Deployment && !workload.paused {
            return Decision::Apply(Step::Pause);
        }
        if !made && workload.paused && seen.state().paused {
            // More pods are wanted than when it was stopped, or a rollout that this one took over
            // from had stopped it: a controller that stands still makes none.
            return Decision::Apply(Step::Resume);
        }
        let ready = new().filter(|pod| pod.ready).count();
        let none_missing = workload.counts.available >= workload.replicas;
        if ready >= first as usize && none_missing && seen.snapshot().endpoints_follow() {
            return Decision::Reach(STAGED);
        }
        let what = format!("the first {first} pods to be ready, {ready} of them are");
        self.patiently(seen, Wait::new("stage", what), until)
    }

    fn end_stage(&self, seen: &Observation<'_>, workload: &Workload) -> Option<Decision> {
        use zdd_core::DeploymentStrategy;
        if seen.kind() == WorkloadKind::StatefulSet {
            let open = Step::SetPartition { partition: end_partition(seen) };
            return (!open.holds(seen.snapshot())).then_some(Decision::Apply(open));
        }
        let settings = self.settings(seen.kind());
        let widen = Step::SetTemplate { template: workload.template.clone(), settings };
        (!widen.holds(seen.snapshot())).then_some(Decision::Apply(widen))
    }

    /// Returns how many pods the stage has; `None` without a stage, or when it would be all pods.
    fn staged_pods(&self, seen: &Observation<'_>, workload: &Workload) -> Option<u32> {
        let first = self.config.stage?.first.round_up(workload.replicas);
        let all = match seen.kind() {
            WorkloadKind::StatefulSet => workload.replicas.saturating_sub(end_partition(seen)),
            WorkloadKind::Deployment | WorkloadKind::DaemonSet => workload.replicas,
        };
        (first > 0 && first < all).then_some(first)
    }
}

/// The partition after the stage: the owner's own, if there was one.
fn end_partition(seen: &Observation<'_>) -> u32 {
    seen.baseline().settings.partition.unwrap_or(0)
}
