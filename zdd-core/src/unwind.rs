//! The way back: capacity first, then traffic, then shrink.

use std::time::Duration;

use crate::observation::Observation;
use crate::outcome::Reason;
use crate::snapshot::{Pod, Settings};
use crate::step::Step;
use crate::strategy::{Decision, Wait};
use crate::target::WorkloadKind;

/// How long the way back may make no progress before it is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Decides the next step of restoring the stored template in place.
///
/// The controller brings old pods back before it removes new ones, because `settings` allow no pod
/// to be missing; the stored knobs come back only when everything has converged. Works without any
/// history in the cluster.
#[must_use]
pub fn restore(seen: &Observation<'_>, settings: &Settings) -> Decision {
    let Some(workload) = seen.workload() else {
        return Decision::Finish;
    };
    let baseline = seen.baseline();
    if workload.template != baseline.template {
        let settings = one_at_a_time(seen, settings.clone());
        return Decision::Apply(Step::SetTemplate {
            template: baseline.template.clone(),
            settings,
        });
    }
    if workload.paused && seen.state().paused {
        return Decision::Apply(Step::Resume);
    }
    if let Some(still) = seen.standstill() {
        return Decision::Wait(Wait::new("rollback", still.to_string()));
    }
    if let Some(broken) = blocking(seen) {
        return Decision::Apply(Step::DeletePod {
            uid: broken.uid.clone(),
            name: broken.name.clone(),
        });
    }
    if !seen.is_complete() {
        if seen.stalled_for() >= PATIENCE {
            return Decision::RollBack(Reason::DeadlineExceeded { message: seen.missing() });
        }
        let last = crate::clock::later(seen.now(), PATIENCE.saturating_sub(seen.stalled_for()));
        return Decision::Wait(Wait::new("rollback", seen.missing()).until(last));
    }
    let restore = Step::RestoreSettings { settings: seen.settings_to_restore() };
    if restore.holds(seen.snapshot()) { Decision::Finish } else { Decision::Apply(restore) }
}

/// Adds to the knobs of a step what keeps a StatefulSet whose owner allows it to lack several pods
/// from lacking more than one. Other kinds have no need of it.
#[must_use]
pub fn one_at_a_time(seen: &Observation<'_>, mut settings: Settings) -> Settings {
    let Some(workload) = seen.workload() else { return settings };
    let allowed = settings.max_unavailable.or(workload.settings.max_unavailable);
    let several = allowed.is_some_and(|allowed| allowed.round_down(workload.replicas) > 1);
    if seen.kind() == WorkloadKind::StatefulSet && several {
        settings.max_unavailable = Some(1.into());
    }
    settings
}

/// Finds a pod that keeps a StatefulSet from going back: its controller waits for a broken pod to
/// become ready before it touches it (kubernetes/kubernetes#67250).
///
/// Pods below the partition are not among them: their owner wants them to have another template,
/// and one that is deleted comes back with it.
fn blocking<'a>(seen: &Observation<'a>) -> Option<&'a Pod> {
    if seen.kind() != WorkloadKind::StatefulSet {
        return None;
    }
    let workload = seen.workload()?;
    let wanted = workload.revision.as_ref()?;
    let pods = &seen.snapshot().pods;
    // Numbers may begin elsewhere (spec.ordinals.start), and partitions count from there.
    let first = pods.iter().filter_map(ordinal).min()?;
    let kept = first.saturating_add(workload.settings.partition.unwrap_or(0));
    pods.iter().find(|pod| {
        let goes_back = ordinal(pod).is_none_or(|ordinal| ordinal >= kept);
        goes_back && pod.revision.as_ref() != Some(wanted) && !pod.ready && !pod.terminating
    })
}

/// Returns the number of a pod of a StatefulSet.
fn ordinal(pod: &Pod) -> Option<u32> {
    pod.name.rsplit_once('-')?.1.parse().ok()
}
