//! The namespace must have room for the pods that are added before others go.

use serde_json::Value;
use zdd_core::Amount;

use super::{Facts, Rights};
use crate::completion::desired;
use crate::requests::Requests;
use crate::resource::Resource;
use crate::snapshot::settings;

/// Warns of quotas on pods that leave no room for the surge. Quotas on processors and memory need
/// the scheduler's arithmetic; when one is hit, the rollout turns back in the controller's words.
pub(super) async fn look(requests: &Requests, rights: &Rights, facts: &Facts<'_>) -> Vec<String> {
    let request = facts.request;
    if !rights.may_list(Resource::QUOTAS) {
        return Vec::new();
    }
    let body = &facts.workload.body;
    let kind = request.target.kind;
    let surge = request.settings.or(&settings(kind, body)).max_surge.unwrap_or(Amount::ZERO);
    let surge = surge.round_up(desired(kind, body));
    let found = requests.list::<Value>(Resource::QUOTAS, &request.target.namespace, None).await;
    let short = |quota: &Value| {
        let number = |of: &str| -> Option<u32> {
            let pods = &quota["status"][of];
            pods.get("pods").or_else(|| pods.get("count/pods"))?.as_str()?.parse().ok()
        };
        let left = number("hard")?.saturating_sub(number("used")?);
        let name = quota["metadata"]["name"].as_str()?;
        (left < surge).then(|| {
            format!("ResourceQuota {name} has room for {left} more pods; the rollout adds {surge}")
        })
    };
    found.unwrap_or_default().iter().filter_map(short).collect()
}
