use insta::{assert_json_snapshot, assert_snapshot};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Bed, deployment_json, refusal, told};

fn config(spec: impl Into<Value>) -> Patch<Value> {
    Patch::Apply(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": spec.into(),
    }))
}

fn full(replicas: i32) -> Patch<Value> {
    let mut spec = deployment_json("web")["spec"].clone();
    spec["replicas"] = replicas.into();
    config(spec)
}

fn by(manager: &str) -> PatchParams {
    PatchParams::apply(manager)
}

fn managers(object: &k8s_openapi::api::apps::v1::Deployment) -> Vec<String> {
    let entries = object.metadata.managed_fields.as_ref().unwrap();
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    entries
        .iter()
        .map(|it| {
            format!("{} {} {}", text(&it.manager), text(&it.operation), text(&it.subresource))
        })
        .map(|line| line.trim().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn apply_creates_and_then_changes_nothing() {
    let bed = Bed::new();
    let api = bed.deployments();
    let made = api.patch("web", &by("zdd"), &full(3)).await.unwrap();
    assert_eq!(managers(&made), ["zdd Apply"]);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let again = api.patch("web", &by("zdd"), &full(3)).await.unwrap();
    assert_eq!(again, made);
}

#[tokio::test(start_paused = true)]
async fn another_managers_field_is_a_conflict_unless_forced() {
    let bed = Bed::new();
    let api = bed.deployments();
    api.patch("web", &by("one"), &full(3)).await.unwrap();
    let four = config(json!({ "replicas": 4 }));
    let status = refusal(api.patch("web", &by("two"), &four).await);
    assert_snapshot!(status.message,
        @r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#);
    assert_json_snapshot!(status.details.unwrap().causes, @r#"
    [
      {
        "reason": "FieldManagerConflict",
        "message": "conflict with \"one\"",
        "field": ".spec.replicas"
      }
    ]
    "#);
    let forced = api.patch("web", &by("two").force(), &four).await.unwrap();
    assert_eq!(forced.spec.replicas, Some(4));
    assert!(told(api.patch("web", &by("one"), &full(3)).await).contains("with \"two\""));
}

#[tokio::test(start_paused = true)]
async fn equal_values_are_shared() {
    let bed = Bed::new();
    let api = bed.deployments();
    api.patch("web", &by("one"), &full(3)).await.unwrap();
    api.patch("web", &by("two"), &config(json!({ "replicas": 3 }))).await.unwrap();
    // One of two owners gives the field up: it stays.
    let mut spec = deployment_json("web")["spec"].clone();
    spec.as_object_mut().unwrap().remove("replicas");
    let left = api.patch("web", &by("one"), &config(spec)).await.unwrap();
    assert_eq!(left.spec.replicas, Some(3));
}

#[tokio::test(start_paused = true)]
async fn what_its_only_owner_leaves_out_goes_back_to_the_default() {
    let bed = Bed::new();
    let api = bed.deployments();
    api.patch("web", &by("one"), &full(3)).await.unwrap();
    let mut spec = deployment_json("web")["spec"].clone();
    spec.as_object_mut().unwrap().remove("replicas");
    spec["template"]["spec"]["containers"].as_array_mut().unwrap().remove(1);
    let left = api.patch("web", &by("one"), &config(spec)).await.unwrap();
    assert_eq!(left.spec.replicas, Some(1));
    assert_eq!(left.spec.template.spec.unwrap().containers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lists_merge_by_their_keys() {
    let bed = Bed::new();
    let api = bed.deployments();
    api.patch("web", &by("one"), &full(3)).await.unwrap();
    let image = json!({ "template": { "spec": { "containers": [
        { "name": "web", "image": "web:2" },
    ] } } });
    let done = api.patch("web", &by("two").force(), &config(image)).await.unwrap();
    let containers = done.spec.template.spec.unwrap().containers;
    let images: Vec<_> = containers.iter().map(|it| it.image.as_deref().unwrap()).collect();
    assert_eq!(images, ["web:2", "log:1"]);
}

#[tokio::test(start_paused = true)]
async fn updates_take_fields_over() {
    let bed = Bed::new();
    let api = bed.deployments();
    api.patch("web", &by("one"), &full(3)).await.unwrap();
    let params = PatchParams { field_manager: Some("cli".into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "spec": { "replicas": 5 } }));
    let scaled = api.patch_scale("web", &params, &patch).await;
    scaled.unwrap();
    let now = api.get("web").await.unwrap();
    assert_eq!(managers(&now), ["one Apply", "cli Update scale"]);
    assert_snapshot!(told(api.patch("web", &by("one"), &full(3)).await),
        @r#"409 Conflict: Apply failed with 1 conflict: conflict with "cli" with subresource "scale" using apps/v1: .spec.replicas"#);
}

#[tokio::test(start_paused = true)]
async fn creation_and_update_are_tracked() {
    let bed = Bed::new();
    let params = PostParams { field_manager: Some("cli".into()), ..PostParams::default() };
    let made = bed.config_maps().create(&params, &super::config_map("a")).await.unwrap();
    let fields = &made.metadata.managed_fields.as_ref().unwrap()[0];
    assert_eq!(fields.manager.as_deref(), Some("cli"));
    assert_eq!(
        fields.fields_v1.as_ref().unwrap().0,
        json!({ "f:data": { "f:a": {} }, "f:metadata": { "f:labels": { "f:app": {} } } })
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_needs_a_manager_and_a_type() {
    let bed = Bed::new();
    let api = bed.deployments();
    let nobody = PatchParams::default();
    assert_snapshot!(told(api.patch("web", &nobody, &full(3)).await),
        @r#"422 Invalid: PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#);
    let untyped = Patch::Apply(json!({ "metadata": { "name": "web" } }));
    assert!(told(api.patch("web", &by("one"), &untyped).await).starts_with("400 BadRequest"));
}

#[tokio::test(start_paused = true)]
async fn an_old_revision_guards_an_apply() {
    let bed = Bed::new();
    let api = bed.deployments();
    let made = api.patch("web", &by("one"), &full(3)).await.unwrap();
    let guarded = |replicas: i32| {
        let Patch::Apply(mut config) = full(replicas) else { unreachable!() };
        config["metadata"]["resourceVersion"] = made.metadata.resource_version.clone().into();
        Patch::Apply(config)
    };
    api.patch("web", &by("one"), &guarded(4)).await.unwrap();
    let stale = api.patch("web", &by("one"), &guarded(5)).await;
    assert!(told(stale).contains("the object has been modified"));
}
