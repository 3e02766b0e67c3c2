use insta::assert_snapshot;
use kube::api::{DeleteParams, ListParams, Preconditions};
use serde_json::json;

use super::{Bed, told};

#[tokio::test(start_paused = true)]
async fn most_kinds_go_at_once_and_answer_with_a_status() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let gone = bed.config_maps().delete("a", &DeleteParams::default()).await.unwrap();
    let details = gone.right().unwrap().details.unwrap();
    assert_eq!((details.name.as_str(), details.uid), ("a", old.metadata.uid.unwrap()));
    assert_eq!(bed.config_maps().get_opt("a").await.unwrap(), None);
    assert_snapshot!(told(bed.config_maps().delete("a", &DeleteParams::default()).await),
        @r#"404 NotFound: configmaps "a" not found"#);
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_gets_its_grace() {
    let bed = Bed::new();
    bed.add_pod("p").await;
    let gone = bed.pods().delete("p", &DeleteParams::default().grace_period(12)).await.unwrap();
    let pod = gone.left().unwrap();
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(12));
    let end = pod.metadata.deletion_timestamp.unwrap();
    assert_eq!(end.0.to_string(), "2026-01-01T00:00:12Z");
    bed.pods().delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(bed.pods().get_opt("p").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn preconditions_guard_a_deletion() {
    let bed = Bed::new();
    let old = bed.add_deployment("web").await;
    let with = |uid: Option<&str>, revision: Option<&str>| {
        DeleteParams::default().preconditions(Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: revision.map(str::to_owned),
        })
    };
    let api = bed.deployments();
    let uid = old.metadata.uid.as_deref();
    let told_uid = told(api.delete("web", &with(Some("x"), None)).await);
    assert_snapshot!(told_uid.replace(uid.unwrap(), "UID"),
        @r#"409 Conflict: Operation cannot be fulfilled on Deployment.apps "web": the UID in the precondition (x) does not match the UID in record (UID). The object might have been deleted and then recreated"#);
    assert_snapshot!(told(api.delete("web", &with(uid, Some("1"))).await),
        @r#"409 Conflict: Operation cannot be fulfilled on Deployment.apps "web": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (6). The object might have been modified"#);
    api.delete("web", &with(uid, old.metadata.resource_version.as_deref())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn foreground_and_orphan_leave_the_work_to_the_garbage_collector() {
    let bed = Bed::new();
    for (name, params, finalizer) in [
        ("a", DeleteParams::foreground(), "foregroundDeletion"),
        ("b", DeleteParams::orphan(), "orphan"),
    ] {
        bed.add_deployment(name).await;
        let kept = bed.deployments().delete(name, &params).await.unwrap().left().unwrap();
        assert_eq!(kept.metadata.finalizers.unwrap(), [finalizer]);
        assert!(kept.metadata.deletion_timestamp.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_goes_when_its_last_finalizer_does() {
    use kube::api::{Patch, PatchParams};
    let bed = Bed::new();
    bed.add_deployment("web").await;
    bed.deployments().delete("web", &DeleteParams::foreground()).await.unwrap();
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(bed.deployments().get_opt("web").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_deleted_by_selector() {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        bed.add_config_map(name).await;
    }
    let some = ListParams::default().labels("app in (a,b)");
    bed.config_maps().delete_collection(&DeleteParams::default(), &some).await.unwrap();
    let left = bed.config_maps().list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
    assert_eq!(left.items[0].metadata.name.as_deref(), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_deletion_deletes_nothing() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    bed.config_maps().delete("a", &DeleteParams::default().dry_run()).await.unwrap();
    assert!(bed.config_maps().get_opt("a").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_takes_nothing_new_and_waits_to_be_emptied() {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    use kube::api::{Api, PostParams};
    let bed = Bed::new();
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    let prod = super::read(json!({ "metadata": { "name": "prod" } }));
    namespaces.create(&PostParams::default(), &prod).await.unwrap();
    let kept = namespaces.delete("prod", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(kept.status.unwrap().phase.as_deref(), Some("Terminating"));
    let maps: Api<ConfigMap> = Api::namespaced(bed.client.clone(), "prod");
    let made = maps.create(&PostParams::default(), &super::config_map("a")).await;
    assert_snapshot!(told(made),
        @r#"403 Forbidden: configmaps "a" is forbidden: unable to create new content in namespace prod because it is being terminated"#);
}
