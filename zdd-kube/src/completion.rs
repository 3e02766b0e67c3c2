//! Tells whether a controller has finished rolling a template out. Pure.
//!
//! Each rule is a superset of `kubectl rollout status`: whatever it calls unfinished is unfinished
//! here.

use zdd_core::{Completion, Counts, WorkloadKind};

use crate::objects::{ConditionKind, ConditionReason, Meta, Status, Truth, Workload};

#[cfg(test)]
mod tests;

/// Judges a workload by its own status.
pub(crate) fn completion(kind: WorkloadKind, meta: &Meta, workload: &Workload) -> Completion {
    let status = &workload.status;
    // A StatefulSet that was never looked at reports generation 0, and so does an empty status.
    if status.observed_generation == 0 || status.observed_generation < meta.generation {
        return Completion::Unobserved;
    }
    match kind {
        WorkloadKind::DaemonSet => daemon_set(status),
        WorkloadKind::Deployment => deployment(workload),
        WorkloadKind::StatefulSet => stateful_set(workload),
    }
}

/// Counts the pods as the controller does.
pub(crate) fn counts(kind: WorkloadKind, status: &Status) -> Counts {
    let mut counts = Counts::default();
    match kind {
        WorkloadKind::DaemonSet => {
            counts.total = status.current_number_scheduled;
            counts.updated = status.updated_number_scheduled;
            counts.ready = status.number_ready;
            counts.available = status.number_available;
        }
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
            counts.total = status.replicas;
            counts.updated = status.updated_replicas;
            counts.ready = status.ready_replicas;
            counts.available = status.available_replicas;
        }
    }
    counts
}

/// Returns the number of pods that are wanted.
pub(crate) fn desired(kind: WorkloadKind, workload: &Workload) -> u32 {
    match kind {
        WorkloadKind::DaemonSet => workload.status.desired_number_scheduled,
        // The server defaults it; 1 is what an absent value means.
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => workload.spec.replicas.unwrap_or(1),
    }
}

/// Returns why the controller cannot create pods.
///
/// Only Deployments report it in their status. For StatefulSets and DaemonSets the cluster has
/// only Events.
pub(crate) fn replica_failure(status: &Status) -> Option<String> {
    let condition = status.condition(ConditionKind::ReplicaFailure)?;
    (condition.status == Truth::True).then(|| condition.message.clone())
}

/// Tells whether pods of the desired template are not there that should be.
pub(crate) fn lacks_pods(kind: WorkloadKind, workload: &Workload) -> bool {
    let (desired, status) = (desired(kind, workload), &workload.status);
    match kind {
        WorkloadKind::DaemonSet => status.updated_number_scheduled < desired,
        WorkloadKind::Deployment => status.updated_replicas < desired,
        WorkloadKind::StatefulSet => status.replicas < desired,
    }
}

fn waiting(what: String) -> Completion {
    Completion::Waiting { what }
}

fn deployment(workload: &Workload) -> Completion {
    let status = &workload.status;
    let desired = desired(WorkloadKind::Deployment, workload);
    let (updated, total) = (status.updated_replicas, status.replicas);
    let available = status.available_replicas;
    if let Some(progressing) = status.condition(ConditionKind::Progressing)
        && progressing.reason == ConditionReason::ProgressDeadlineExceeded
    {
        return Completion::DeadlineExceeded { message: progressing.message.clone() };
    }
    if updated < desired {
        return waiting(format!("{updated} of {desired} pods have the new template"));
    }
    if total > updated {
        return waiting(format!("{} old pods are still there", total - updated));
    }
    // `kubectl` takes more pods than wanted for enough; scaling down is not finished then.
    if updated > desired {
        return waiting(format!("{} pods too many are still there", updated - desired));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} pods are available"));
    }
    let available = status.condition(ConditionKind::Available).map(|condition| condition.status);
    if available != Some(Truth::True) {
        return waiting("the Deployment does not say that it is available".to_owned());
    }
    Completion::Complete
}

/// Stricter than `kubectl`, which calls a StatefulSet with any `rollingUpdate` finished as soon as
/// its pods are ready.
fn stateful_set(workload: &Workload) -> Completion {
    let status = &workload.status;
    let desired = desired(WorkloadKind::StatefulSet, workload);
    let rolling = workload.spec.update_strategy.rolling_update.as_ref();
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
    let wanted = desired.saturating_sub(partition);
    if status.replicas != desired {
        return waiting(format!("{} of {desired} pods are there", status.replicas));
    }
    // Not the revisions alone: right after a template was set back they are equal, while pods of
    // the other revision are still there.
    let updated = status.updated_replicas;
    if updated < wanted {
        return waiting(format!("{updated} of {wanted} pods have the new template"));
    }
    if status.ready_replicas < desired {
        return waiting(format!("{} of {desired} pods are ready", status.ready_replicas));
    }
    if status.available_replicas < desired {
        return waiting(format!("{} of {desired} pods are available", status.available_replicas));
    }
    if partition == 0 && status.update_revision != status.current_revision {
        return waiting("the controller has not made the new revision the current one".to_owned());
    }
    Completion::Complete
}

fn daemon_set(status: &Status) -> Completion {
    let desired = status.desired_number_scheduled;
    let (updated, available) = (status.updated_number_scheduled, status.number_available);
    if updated < desired {
        return waiting(format!("{updated} of {desired} pods have the new template"));
    }
    if available < desired {
        return waiting(format!("{available} of {desired} pods are available"));
    }
    Completion::Complete
}
