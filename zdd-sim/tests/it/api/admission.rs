use insta::assert_snapshot;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, Collection};

use super::{Bed, deployment, pod, read, told};

async fn limit(client: &kube::Client, hard: Value) {
    let quotas: Api<ResourceQuota> = Api::default_namespaced(client.clone());
    let quota = read(json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } }));
    quotas.create(&PostParams::default(), &quota).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_webhook_denies_in_its_own_words() {
    let bed = Bed::new();
    bed.server.admission().deny("images.example.com", |collection, object| {
        let image = object["spec"]["containers"][0]["image"].as_str()?;
        (collection == &Collection::PODS).then(|| format!("image {image} is not signed"))
    });
    let made = bed.pods().create(&PostParams::default(), &pod("a")).await;
    assert_snapshot!(told(made),
        @r#"403 Forbidden: admission webhook "images.example.com" denied the request: image web:1 is not signed"#);
    bed.add_config_map("a").await;
    bed.server.admission().clear();
    bed.add_pod("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_counts_what_is_there() {
    let bed = Bed::new();
    limit(&bed.client, json!({ "pods": "1", "count/deployments.apps": 1 })).await;
    bed.add_pod("a").await;
    let more = bed.pods().create(&PostParams::default(), &pod("b")).await;
    assert_snapshot!(told(more),
        @r#"403 Forbidden: pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"#);
    bed.add_deployment("web").await;
    let more = bed.deployments().create(&PostParams::default(), &deployment("b")).await;
    assert!(told(more).contains("limited: count/deployments.apps=1"));
}

#[tokio::test(start_paused = true)]
async fn a_quota_on_compute_wants_requests() {
    let bed = Bed::new();
    limit(&bed.client, json!({ "requests.cpu": "1" })).await;
    let silent = bed.pods().create(&PostParams::default(), &pod("a")).await;
    assert_snapshot!(told(silent),
        @r#"403 Forbidden: pods "a" is forbidden: failed quota: q: must specify requests.cpu for: web"#);
    let asking = |name: &str, cpu: &str| -> Pod {
        read(json!({
            "metadata": { "name": name },
            "spec": { "containers": [{
                "name": "web", "image": "web:1", "resources": { "limits": { "cpu": cpu } },
            }] },
        }))
    };
    bed.pods().create(&PostParams::default(), &asking("a", "600m")).await.unwrap();
    let more = bed.pods().create(&PostParams::default(), &asking("b", "500m")).await;
    assert_snapshot!(told(more),
        @r#"403 Forbidden: pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"#);
}

#[tokio::test(start_paused = true)]
async fn a_quota_holds_for_controllers_too() {
    let cluster = Cluster::builder().seed(1).build();
    let client = cluster.client();
    limit(&client, json!({ "pods": "2" })).await;
    let deployments: Api<_> = Api::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &deployment("web")).await.unwrap();
    let stop = CancellationToken::new();
    let watch = async {
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        stop.cancel();
    };
    tokio::join!(cluster.run(stop.clone()), watch);
    let pods: Api<Pod> = Api::default_namespaced(client);
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 2);
    let status = deployments.get("web").await.unwrap().status.unwrap();
    let conditions = serde_json::to_string(&status.conditions).unwrap();
    assert!(conditions.contains("exceeded quota: q, requested: pods=1"), "{conditions}");
}
