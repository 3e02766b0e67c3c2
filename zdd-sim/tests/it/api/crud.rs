use insta::assert_snapshot;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use serde_json::json;
use zdd_sim::{Resource, Scope};

use super::{Bed, config_map, pod, read, refusal, told};

#[tokio::test(start_paused = true)]
async fn created_objects_carry_what_the_server_sets() {
    let bed = Bed::new();
    let made = bed.add_deployment("web").await;
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.metadata.namespace.as_deref(), Some("default"));
    let time = made.metadata.creation_timestamp.as_ref().unwrap();
    assert_eq!(time.0.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(made.metadata.uid.as_ref().unwrap().len(), 36);
    assert_eq!(bed.deployments().get("web").await.unwrap(), made);
}

#[tokio::test(start_paused = true)]
async fn an_absent_object_is_not_found() {
    let bed = Bed::new();
    assert_snapshot!(told(bed.deployments().get("web").await),
        @r#"404 NotFound: deployments.apps "web" not found"#);
    assert_eq!(bed.pods().get_opt("web").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_already_exists() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let again = bed.config_maps().create(&PostParams::default(), &config_map("a")).await;
    assert_snapshot!(told(again), @r#"409 AlreadyExists: configmaps "a" already exists"#);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_namespace_refuses_objects() {
    let bed = Bed::new();
    let maps: Api<ConfigMap> = Api::namespaced(bed.client.clone(), "prod");
    let made = maps.create(&PostParams::default(), &config_map("a")).await;
    assert_snapshot!(told(made), @r#"404 NotFound: namespaces "prod" not found"#);
}

#[tokio::test(start_paused = true)]
async fn generate_name_completes_the_prefix() {
    let bed = Bed::new();
    let mut object = pod("x");
    object.metadata.name = None;
    object.metadata.generate_name = Some("web-".into());
    let one = bed.pods().create(&PostParams::default(), &object).await.unwrap();
    let two = bed.pods().create(&PostParams::default(), &object).await.unwrap();
    let (one, two) = (one.metadata.name.unwrap(), two.metadata.name.unwrap());
    assert!(one.starts_with("web-") && one.len() == 9, "{one}");
    assert_ne!(one, two);
}

#[tokio::test(start_paused = true)]
async fn a_nameless_object_is_invalid() {
    let bed = Bed::new();
    let object = ConfigMap::default();
    assert_snapshot!(told(bed.config_maps().create(&PostParams::default(), &object).await),
        @r#"422 Invalid: ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#);
}

#[tokio::test(start_paused = true)]
async fn replace_with_an_old_revision_conflicts() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let mut new = old.clone();
    new.data.as_mut().unwrap().insert("a".into(), "2".into());
    let params = PostParams::default();
    bed.config_maps().replace("a", &params, &new).await.unwrap();
    assert_snapshot!(told(bed.config_maps().replace("a", &params, &new).await),
        @r#"409 Conflict: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#);
}

#[tokio::test(start_paused = true)]
async fn replace_without_a_revision_overwrites_most_kinds() {
    let bed = Bed::new();
    bed.add_config_map("a").await;
    let mut new = config_map("a");
    new.data.as_mut().unwrap().insert("a".into(), "2".into());
    let made = bed.config_maps().replace("a", &PostParams::default(), &new).await.unwrap();
    assert_eq!(made.data.unwrap()["a"], "2");
}

#[tokio::test(start_paused = true)]
async fn replace_of_a_lease_needs_a_revision() {
    let bed = Bed::new();
    let leases: Api<Lease> = Api::default_namespaced(bed.client.clone());
    let lease: Lease = read(json!({ "metadata": { "name": "l" }, "spec": {} }));
    let params = PostParams::default();
    leases.create(&params, &lease).await.unwrap();
    assert_snapshot!(told(leases.replace("l", &params, &lease).await),
        @r#"422 Invalid: leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#);
}

#[tokio::test(start_paused = true)]
async fn replace_that_changes_nothing_takes_no_revision() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let new = bed.config_maps().replace("a", &PostParams::default(), &old).await.unwrap();
    assert_eq!(new.metadata.resource_version, old.metadata.resource_version);
}

#[tokio::test(start_paused = true)]
async fn a_uid_of_another_life_conflicts() {
    let bed = Bed::new();
    let old = bed.add_config_map("a").await;
    let mut new = config_map("a");
    new.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    let status = refusal(bed.config_maps().replace("a", &PostParams::default(), &new).await);
    assert!(status.is_conflict());
    assert!(
        status.message.contains("Precondition failed: UID in precondition: 0000"),
        "{status:?}"
    );
    assert!(status.message.contains(&old.metadata.uid.unwrap()), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn the_status_has_its_own_path() {
    let bed = Bed::new();
    let mut object = bed.add_deployment("web").await;
    object.status.get_or_insert_default().replicas = Some(9);
    let main = bed.deployments().replace("web", &PostParams::default(), &object).await.unwrap();
    assert_eq!(main.status.unwrap_or_default().replicas, None);
    object.spec.replicas = Some(5);
    let done = bed.deployments().replace_status("web", &PostParams::default(), &object).await;
    let done = done.unwrap();
    assert_eq!(done.status.unwrap().replicas, Some(9));
    assert_eq!((done.spec.replicas, done.metadata.generation), (Some(3), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_no_trace() {
    let bed = Bed::new();
    let before = bed.store.lock().unwrap().revision();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let made = bed.config_maps().create(&params, &config_map("a")).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert_eq!(bed.config_maps().get_opt("a").await.unwrap(), None);
    assert_eq!(bed.store.lock().unwrap().revision(), before);
}

#[tokio::test(start_paused = true)]
async fn events_are_served_in_both_groups() {
    let bed = Bed::new();
    let events: Api<Event> = Api::default_namespaced(bed.client.clone());
    let event: Event = read(json!({
        "metadata": { "name": "e" },
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Roll", "reason": "Started", "type": "Normal", "note": "hello",
        "reportingController": "zdd", "reportingInstance": "zdd-1",
        "regarding": { "kind": "Deployment", "name": "web", "namespace": "default" },
    }));
    events.create(&PostParams::default(), &event).await.unwrap();
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(bed.client.clone());
    let seen = core.get("e").await.unwrap();
    assert_eq!(seen.message.as_deref(), Some("hello"));
    assert_eq!(seen.involved_object.name.as_deref(), Some("web"));
    assert_eq!(events.get("e").await.unwrap().note.as_deref(), Some("hello"));
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_stored_as_they_are() {
    let bed = Bed::new();
    let group = "gateway.networking.k8s.io";
    let routes = Resource::custom(group, "v1", "HTTPRoute", "httproutes", Scope::Namespaced);
    let _server = bed.server.clone().with_resource(routes);
    let resource = ApiResource {
        group: group.into(),
        version: "v1".into(),
        api_version: format!("{group}/v1"),
        kind: "HTTPRoute".into(),
        plural: "httproutes".into(),
    };
    let api: Api<DynamicObject> = Api::default_namespaced_with(bed.client.clone(), &resource);
    let route = DynamicObject::new("r", &resource).data(json!({ "spec": { "rules": [{}] } }));
    let made = api.create(&PostParams::default(), &route).await.unwrap();
    assert_eq!(made.data["spec"], json!({ "rules": [{}] }));
    assert_eq!(made.types.unwrap().kind, "HTTPRoute");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_resource_is_not_served() {
    let bed = Bed::new();
    let resource = ApiResource::erase::<Pod>(&());
    let resource = ApiResource { plural: "pots".into(), ..resource };
    let api: Api<DynamicObject> = Api::default_namespaced_with(bed.client.clone(), &resource);
    assert_snapshot!(told(api.get("a").await),
        @"404 NotFound: the server could not find the requested resource");
}
