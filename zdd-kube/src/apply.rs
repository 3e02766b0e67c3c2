//! Makes one step: looks at the target, then writes on condition that it is still like that.

mod patch;

use kube::api::Preconditions;
use kube::core::DynamicObject;
use zdd_core::{ClusterError, Mark, Snapshot, Step, Uid};

use crate::fence::refuse_newer;
use crate::objects::{Object, Workload};
use crate::observe::{read_workload, understand};
use crate::requests::{Requests, Run};
use crate::resource::{self, Resource};
use crate::snapshot::settings;

pub(crate) use patch::{Fields, fields, guarded};

/// How often a write is tried again that someone's change of something else got in the way of.
pub(crate) const TRIES: usize = 5;

/// Makes a step.
pub(crate) async fn apply(
    requests: &Requests,
    step: &Step,
    seen: &Snapshot,
    mark: &Mark<'_>,
) -> Result<(), ClusterError> {
    for _ in 0..TRIES {
        let present = still_as_seen(requests, seen, mark).await?;
        refuse_newer(&present.meta, mark)?;
        if let Step::DeletePod { uid, name } = step {
            return delete_pod(requests, mark, uid, name).await;
        }
        let fields = fields(mark.target, step, &present, mark.rollout)?;
        let patch = guarded(mark, &present, fields);
        let (resource, at) =
            (resource::of(mark.target), (&*mark.target.namespace, &*mark.target.name));
        match requests.patch::<DynamicObject>(resource, at, &patch, Run::Real).await {
            Ok(_) => return Ok(()),
            // Someone wrote in between: a look tells whether it matters.
            Err(failure) if failure.is_conflict() => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(ClusterError::Conflict { object: mark.target.to_string() })
}

/// Reads the target and compares what it should be with what was seen.
async fn still_as_seen(
    requests: &Requests,
    seen: &Snapshot,
    mark: &Mark<'_>,
) -> Result<Object<Workload>, ClusterError> {
    let conflict = || ClusterError::Conflict { object: mark.target.to_string() };
    let present = read_workload(requests, mark.target).await?.ok_or_else(conflict)?;
    let seen = seen.workload.as_ref().ok_or_else(conflict)?;
    let meta = &present.meta;
    let same = meta.uid() == seen.uid
        && *present.body.template() == seen.template
        && present.body.is_held() == seen.paused
        && settings(mark.target.kind, &present.body) == seen.settings
        && meta.generation == seen.generation;
    if same { Ok(present) } else { Err(conflict()) }
}

/// Deletes a pod that is still the one meant and still not ready.
///
/// The fence was checked just before. It cannot be a condition of the deletion itself, because the
/// pod is another object: a driver that is superseded in this very moment may still delete a pod
/// that serves nobody.
async fn delete_pod(
    requests: &Requests,
    mark: &Mark<'_>,
    uid: &Uid,
    name: &str,
) -> Result<(), ClusterError> {
    let namespace = mark.target.namespace.as_str();
    let Some(pod) = requests.get::<DynamicObject>(Resource::PODS, namespace, name).await? else {
        return Ok(());
    };
    let pod = understand::<crate::objects::Pod>(Resource::PODS, pod)?;
    if pod.meta.uid() != *uid || pod.meta.terminating {
        return Ok(());
    }
    let object = Resource::PODS.named(namespace, name);
    if pod.body.is_ready() {
        return Err(ClusterError::Conflict { object });
    }
    let preconditions =
        Preconditions { uid: Some(pod.meta.uid), resource_version: Some(pod.meta.version) };
    match requests.delete(Resource::PODS, (namespace, name), preconditions).await {
        Err(failure) if failure.is_not_found() => Ok(()),
        result => result.map_err(ClusterError::from),
    }
}
