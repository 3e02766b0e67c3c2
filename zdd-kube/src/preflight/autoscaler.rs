//! An autoscaler may change the number of pods during the rollout.

use serde_json::Value;

use super::{Facts, Rights};
use crate::requests::Requests;
use crate::resource::Resource;

/// Names the autoscaler of the target, if it has one.
pub(super) async fn look(
    requests: &Requests,
    rights: &Rights,
    facts: &Facts<'_>,
) -> Option<String> {
    let target = facts.request.target;
    if !rights.may_list(Resource::AUTOSCALERS) {
        return None;
    }
    // Not worth failing for: the rollout copes with other numbers.
    let found = requests.list::<Value>(Resource::AUTOSCALERS, &target.namespace, None).await;
    let scales = |autoscaler: &&Value| {
        let of = &autoscaler["spec"]["scaleTargetRef"];
        of["kind"] == target.kind.to_string() && of["name"] == target.name.as_str()
    };
    let found = found.ok()?;
    let name = found.iter().find(scales)?["metadata"]["name"].as_str()?;
    Some(format!(
        "HorizontalPodAutoscaler {name} may change the number of pods during the rollout; that is \
         followed, but Kubernetes can take a pod too many when it scales down midway"
    ))
}
