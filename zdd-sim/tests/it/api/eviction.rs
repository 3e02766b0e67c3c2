use insta::assert_snapshot;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, EvictParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Bed, read, told};

#[tokio::test(start_paused = true)]
async fn a_budget_forbids_an_eviction_that_breaks_it() {
    let bed = Bed::new();
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(bed.client.clone());
    let budget = read(json!({
        "metadata": { "name": "b" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } },
    }));
    budgets.create(&PostParams::default(), &budget).await.unwrap();
    for name in ["a", "b"] {
        bed.add_pod(name).await;
        let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let patch = Patch::Strategic(ready);
        bed.pods().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }
    let evicted = bed.pods().evict("a", &EvictParams::default()).await;
    assert_snapshot!(told(evicted),
        @"429 TooManyRequests: Cannot evict pod as it would violate the pod's disruption budget.");
    bed.pods().evict("b", &EvictParams::default()).await.unwrap();
    assert!(bed.pods().get("b").await.unwrap().metadata.deletion_timestamp.is_some());
}
