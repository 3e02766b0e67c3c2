//! The target must be there.

use serde_json::Value;
use zdd_core::{ClusterError, Target, WorkloadKind};

use crate::requests::Requests;
use crate::resource::Resource;

/// Says that the target does not exist, and whether a workload of another kind has its name.
pub(crate) async fn missing(requests: &Requests, target: &Target) -> ClusterError {
    let kinds = [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet];
    for kind in kinds.into_iter().filter(|kind| *kind != target.kind) {
        let resource = Resource::workload(kind);
        // A kind that must not be read is no hint.
        let found = requests.get::<Value>(resource, &target.namespace, &target.name).await;
        if let Ok(Some(_)) = found {
            let problem = format!("it does not exist, but a {kind} of that name does; target that");
            return ClusterError::refused(target, problem);
        }
    }
    ClusterError::refused(target, "it does not exist; create it first, or look at the namespace")
}
