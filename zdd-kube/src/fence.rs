//! Keeps drivers away that lost their lease and do not know it.

use kube::core::DynamicObject;
use zdd_core::{ClusterError, Mark};

use crate::apply::{Fields, TRIES, guarded};
use crate::objects::Meta;
use crate::observe::read_workload;
use crate::requests::{Requests, Run};
use crate::resource;

/// Refuses to go on when a driver with a higher epoch has been here.
pub(crate) fn refuse_newer(meta: &Meta, mark: &Mark<'_>) -> Result<(), ClusterError> {
    match crate::snapshot::epoch(meta) {
        Some(newer) if newer > mark.epoch => {
            Err(ClusterError::Fenced { object: mark.target.to_string(), newer })
        }
        Some(_) | None => Ok(()),
    }
}

/// Marks the target with the driver's epoch.
///
/// The mark is a label: it makes a new resourceVersion, on which each write of an older driver
/// fails, but no new generation, so nothing looks as if it had to be observed again.
pub(crate) async fn fence(requests: &Requests, mark: &Mark<'_>) -> Result<(), ClusterError> {
    let target = mark.target;
    for _ in 0..TRIES {
        let Some(present) = read_workload(requests, target).await? else {
            return Err(ClusterError::refused(target, "it does not exist any more"));
        };
        refuse_newer(&present.meta, mark)?;
        if crate::snapshot::epoch(&present.meta) == Some(mark.epoch) {
            return Ok(());
        }
        let patch = guarded(mark, &present, Fields::new());
        let at = (&*target.namespace, &*target.name);
        match requests.patch::<DynamicObject>(resource::of(target), at, &patch, Run::Real).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is_conflict() => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(ClusterError::Conflict { object: target.to_string() })
}
