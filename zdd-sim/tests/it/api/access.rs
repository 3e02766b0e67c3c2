use insta::assert_snapshot;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use zdd_sim::{Authorizer, Verb};

use super::{Bed, read, told};

fn role() -> Value {
    json!({
        "kind": "Role",
        "metadata": { "name": "zdd", "namespace": "default" },
        "rules": [
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"] },
            { "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"] },
            { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get", "list"] },
        ],
    })
}

fn as_zdd(bed: &Bed) -> (Authorizer, Client) {
    let authorizer = Authorizer::from_roles([&role()]).unwrap();
    let server = bed.server.clone().as_user("zdd").with_authorizer(authorizer.clone());
    (authorizer, Client::new(server, "default"))
}

#[tokio::test(start_paused = true)]
async fn what_no_rule_allows_is_forbidden() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let (_, client) = as_zdd(&bed);
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::default_namespaced(client.clone());
    deployments.get("web").await.unwrap();
    let params = PatchParams::default();
    let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    assert_snapshot!(told(deployments.patch("web", &params, &patch).await),
        @r#"403 Forbidden: deployments.apps "web" is forbidden: User "zdd" cannot patch resource "deployments" in API group "apps" in the namespace "default""#);
    deployments.patch_scale("web", &params, &patch).await.unwrap();
    let all: Api<k8s_openapi::api::core::v1::Pod> = Api::all(client);
    assert_snapshot!(told(all.list(&ListParams::default()).await),
        @r#"403 Forbidden: pods is forbidden: User "zdd" cannot list resource "pods" in API group "" at the cluster scope"#);
}

#[tokio::test(start_paused = true)]
async fn names_in_rules_bind() {
    let bed = Bed::new();
    bed.add_config_map("mine").await;
    bed.add_config_map("yours").await;
    let (_, client) = as_zdd(&bed);
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::default_namespaced(client);
    maps.get("mine").await.unwrap();
    assert!(told(maps.get("yours").await).starts_with("403"));
    maps.list(&ListParams::default().fields("metadata.name=mine")).await.unwrap();
    assert!(told(maps.list(&ListParams::default()).await).starts_with("403"));
}

#[tokio::test(start_paused = true)]
async fn a_client_can_ask_what_it_may_do() {
    let bed = Bed::new();
    let (_, client) = as_zdd(&bed);
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
    for (verb, resource, expected) in
        [("get", "deployments", true), ("delete", "deployments", false), ("get", "pods", false)]
    {
        let review = read(json!({ "spec": { "resourceAttributes": {
            "verb": verb, "group": "apps", "resource": resource, "namespace": "default",
        } } }));
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        assert_eq!(answer.status.unwrap().allowed, expected, "{verb} {resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_per_user_verb_and_resource() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let (authorizer, client) = as_zdd(&bed);
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::default_namespaced(client);
    bed.server.reset_calls();
    deployments.get("web").await.unwrap();
    deployments.get("web").await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    deployments.patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    bed.pods().list(&ListParams::default()).await.unwrap();
    let own = bed.server.calls().of_user("zdd");
    assert_snapshot!(own, @"
    get deployments.apps 2
    patch deployments.apps/scale 1
    ");
    assert_eq!(own.by_verb()[&Verb::Get], 2);
    assert_eq!(bed.server.calls().total(), 4);
    let unused = authorizer.unused(&own);
    assert_eq!(unused, ["get configmaps", "list configmaps", "list deployments.apps"]);
}
