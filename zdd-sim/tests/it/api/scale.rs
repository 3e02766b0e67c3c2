use insta::assert_snapshot;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Bed, told};

#[tokio::test(start_paused = true)]
async fn scale_reads_and_writes_replicas() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let api = bed.deployments();
    let mut scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(3));
    assert_eq!(scale.status.as_ref().unwrap().selector.as_deref(), Some("app=web"));
    scale.spec.as_mut().unwrap().replicas = Some(4);
    api.replace_scale("web", &PostParams::default(), &scale).await.unwrap();
    let now = api.get("web").await.unwrap();
    assert_eq!((now.spec.replicas, now.metadata.generation), (Some(4), Some(2)));
    let old = api.replace_scale("web", &PostParams::default(), &scale).await;
    assert!(told(old).starts_with("409 Conflict"));
}

#[tokio::test(start_paused = true)]
async fn scale_takes_patches_and_refuses_less_than_nothing() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let api = bed.deployments();
    let params = PatchParams::default();
    let to = |replicas: i32| Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    api.patch_scale("web", &params, &to(0)).await.unwrap();
    assert_eq!(api.get("web").await.unwrap().spec.replicas, Some(0));
    assert_snapshot!(told(api.patch_scale("web", &params, &to(-1)).await),
        @r#"422 Invalid: Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#);
}
