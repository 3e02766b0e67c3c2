use insta::assert_snapshot;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Bed, told};

fn json_patch(operations: Value) -> Patch<()> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

#[tokio::test(start_paused = true)]
async fn merge_replaces_lists_and_removes_nulls() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Merge(json!({
        "metadata": { "labels": { "app": null, "tier": "front" } },
        "spec": { "template": { "spec": {
            "containers": [{ "name": "web", "image": "web:2" }],
        } } },
    }));
    let new = bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let containers = new.spec.template.spec.unwrap().containers;
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0].image.as_deref(), Some("web:2"));
    assert_eq!(Vec::from_iter(new.metadata.labels.unwrap()), [("tier".into(), "front".into())]);
    assert_eq!(new.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn strategic_merges_lists_by_key() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Strategic(json!({ "spec": { "template": { "spec": {
        "$setElementOrder/containers": [{ "name": "log" }, { "name": "web" }, { "name": "new" }],
        "containers": [
            { "name": "web", "image": "web:2", "ports": [{ "containerPort": 81 }] },
            { "name": "new", "image": "new:1" },
        ],
    } } } }));
    let new = bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let containers = new.spec.template.spec.unwrap().containers;
    let images: Vec<_> = containers.iter().map(|it| it.image.as_deref().unwrap()).collect();
    assert_eq!(images, ["log:1", "web:2", "new:1"]);
    let ports = containers[1].ports.as_ref().unwrap();
    assert_eq!(ports.iter().map(|port| port.container_port).collect::<Vec<_>>(), [81, 80]);
}

#[tokio::test(start_paused = true)]
async fn strategic_directives_delete_and_replace() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Strategic(json!({ "spec": {
        "strategy": { "$retainKeys": ["type"], "type": "Recreate" },
        "template": {
            "metadata": { "labels": { "$patch": "replace", "app": "web" } },
            "spec": { "containers": [{ "name": "log", "$patch": "delete" }] },
        },
    } }));
    let new = bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    let template = new.spec.template;
    assert_eq!(template.spec.unwrap().containers.len(), 1);
    assert_eq!(template.metadata.unwrap().labels.unwrap().len(), 1);
    let strategy = new.spec.strategy.unwrap();
    assert_eq!((strategy.type_.as_deref(), strategy.rolling_update), (Some("Recreate"), None));
}

#[tokio::test(start_paused = true)]
async fn a_merge_patch_with_an_old_revision_conflicts() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let params = PatchParams::default();
    let guarded = Patch::Merge(json!({
        "metadata": { "resourceVersion": old.metadata.resource_version },
        "data": { "a": "2" },
    }));
    bed.config_maps().patch("a", &params, &guarded).await.unwrap();
    assert_snapshot!(told(bed.config_maps().patch("a", &params, &guarded).await),
        @r#"409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#);
}

#[tokio::test(start_paused = true)]
async fn a_json_patch_can_name_revision_and_uid_as_preconditions() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let params = PatchParams::default();
    let guarded = |revision: &str, uid: &str| {
        json_patch(json!([
            { "op": "replace", "path": "/metadata/resourceVersion", "value": revision },
            { "op": "replace", "path": "/metadata/uid", "value": uid },
            { "op": "replace", "path": "/data/a", "value": "2" },
        ]))
    };
    let (revision, uid) = (old.metadata.resource_version.unwrap(), old.metadata.uid.unwrap());
    let maps = bed.config_maps();
    assert!(told(maps.patch("a", &params, &guarded("1", &uid)).await).starts_with("409 Conflict"));
    let other = maps.patch("a", &params, &guarded(&revision, "other")).await;
    assert!(told(other).contains("metadata.uid: Invalid value: \"other\": field is immutable"));
    let new = maps.patch("a", &params, &guarded(&revision, &uid)).await.unwrap();
    assert_eq!(new.data.unwrap()["a"], "2");
}

#[tokio::test(start_paused = true)]
async fn a_failing_test_operation_is_invalid() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let patch = json_patch(json!([{ "op": "test", "path": "/data/a", "value": "7" }]));
    assert_snapshot!(told(bed.config_maps().patch("a", &PatchParams::default(), &patch).await),
        @"422 Invalid: the server rejected our request due to an error in our request");
}

#[tokio::test(start_paused = true)]
async fn a_patch_cannot_rename() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let patch = Patch::Merge(json!({ "metadata": { "name": "b" } }));
    assert_snapshot!(told(bed.config_maps().patch("a", &PatchParams::default(), &patch).await),
        @"400 BadRequest: the name of the object (b) does not match the name on the URL (a)");
}

#[tokio::test(start_paused = true)]
async fn a_dry_patch_shows_the_result_only() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "data": { "a": "2" } }));
    let shown = bed.config_maps().patch("a", &params, &patch).await.unwrap();
    assert_eq!(shown.data.unwrap()["a"], "2");
    assert_eq!(bed.config_maps().get("a").await.unwrap(), old);
}

#[tokio::test(start_paused = true)]
async fn annotations_count_as_a_generation_of_deployments_only() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "note": "x" } } }));
    let new = bed.deployments().patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(new.metadata.generation, Some(2));
    bed.add_pod("p").await;
    let pod = bed.pods().patch("p", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(pod.metadata.generation, Some(1));
}
