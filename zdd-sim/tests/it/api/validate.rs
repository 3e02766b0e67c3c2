use insta::assert_snapshot;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Bed, deployment_json, read, refusal, told};

/// What the server says to a Deployment with these fields.
async fn deployment_with(change: Value) -> String {
    let bed = Bed::new();
    let mut object = deployment_json("web");
    json_patch::merge(&mut object, &change);
    let made = bed.deployments().create(&PostParams::default(), &read(object)).await;
    told(made)
}

#[tokio::test(start_paused = true)]
async fn a_selector_must_match_the_template() {
    assert_snapshot!(
        deployment_with(json!({ "spec": { "selector": { "matchLabels": { "app": "b" } } } })).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`"#);
    assert_snapshot!(
        deployment_with(json!({ "spec": { "selector": { "matchLabels": null } } })).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.selector: Invalid value: {}: empty selector is invalid for deployment"#);
}

#[tokio::test(start_paused = true)]
async fn a_selector_is_immutable() {
    let bed = Bed::new();
    bed.add_deployment("web").await;
    let labels = json!({ "app": "web", "tier": "x" });
    let patch = Patch::Merge(json!({ "spec": {
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels } },
    } }));
    assert_snapshot!(told(bed.deployments().patch("web", &PatchParams::default(), &patch).await),
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"x"}}: field is immutable"#);
}

#[tokio::test(start_paused = true)]
async fn rolling_updates_need_room_and_percentages() {
    let rolling = |surge: Value, unavailable: Value| {
        json!({ "spec": { "strategy": { "rollingUpdate": {
            "maxSurge": surge, "maxUnavailable": unavailable,
        } } } })
    };
    assert_snapshot!(deployment_with(rolling(json!(0), json!("0%"))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#);
    assert_snapshot!(deployment_with(rolling(json!(1), json!("150%"))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%"#);
    assert_snapshot!(deployment_with(rolling(json!("abc"), json!(1))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxSurge: Invalid value: "abc": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#);
    assert_snapshot!(deployment_with(rolling(json!(-1), json!(1))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0"#);
}

#[tokio::test(start_paused = true)]
async fn containers_have_unique_names_and_images() {
    let containers =
        |list: Value| json!({ "spec": { "template": { "spec": { "containers": list } } } });
    assert_snapshot!(deployment_with(containers(json!([{ "name": "a" }]))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.template.spec.containers[0].image: Required value"#);
    assert_snapshot!(
        deployment_with(containers(json!([{ "name": "a", "image": "x" }, { "name": "a", "image": "x" }]))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.template.spec.containers[1].name: Duplicate value: "a""#);
    assert_snapshot!(deployment_with(containers(json!([]))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.template.spec.containers: Required value"#);
    assert_snapshot!(
        deployment_with(containers(json!([{ "name": "a", "image": "x", "readinessProbe": {} }]))).await,
        @r#"422 Invalid: Deployment.apps "web" is invalid: spec.template.spec.containers[0].readinessProbe: Required value: must specify a handler type"#);
}

#[tokio::test(start_paused = true)]
async fn every_broken_rule_is_a_cause() {
    let bed = Bed::new();
    let mut object = deployment_json("web");
    object["spec"]["replicas"] = (-1).into();
    object["spec"]["progressDeadlineSeconds"] = 5.into();
    object["spec"]["minReadySeconds"] = 5.into();
    let status = refusal(bed.deployments().create(&PostParams::default(), &read(object)).await);
    assert_snapshot!(status.message,
        @r#"Deployment.apps "web" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds]"#);
    let details = status.details.unwrap();
    assert_eq!((details.group.as_str(), details.kind.as_str()), ("apps", "Deployment"));
    let causes: Vec<_> = details.causes.iter().map(|it| (&*it.reason, &*it.field)).collect();
    assert_eq!(
        causes,
        [
            ("FieldValueInvalid", "spec.replicas"),
            ("FieldValueInvalid", "spec.progressDeadlineSeconds"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn names_and_labels_have_their_alphabets() {
    let bed = Bed::new();
    let maps = bed.config_maps();
    let named = maps.create(&PostParams::default(), &super::config_map("A_b")).await;
    assert!(
        told(named)
            .contains("metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain")
    );
    let map = read(json!({ "metadata": { "name": "a", "labels": { "x": "a b" } } }));
    let labelled = maps.create(&PostParams::default(), &map).await;
    assert!(told(labelled).contains("metadata.labels: Invalid value: \"a b\": a valid label"));
}

#[tokio::test(start_paused = true)]
async fn services_need_ports_and_keep_their_address() {
    let bed = Bed::new();
    let services: Api<Service> = Api::default_namespaced(bed.client.clone());
    let service = |spec: Value| read(json!({ "metadata": { "name": "s" }, "spec": spec }));
    let params = PostParams::default();
    assert_snapshot!(told(services.create(&params, &service(json!({}))).await),
        @r#"422 Invalid: Service "s" is invalid: spec.ports: Required value"#);
    let ports = json!({ "ports": [{ "port": 80 }, { "port": 81, "name": "b" }] });
    assert_snapshot!(told(services.create(&params, &service(ports)).await),
        @r#"422 Invalid: Service "s" is invalid: spec.ports[0].name: Required value"#);
    services.create(&params, &service(json!({ "ports": [{ "port": 80 }] }))).await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "clusterIP": "10.96.7.7" } }));
    assert_snapshot!(told(services.patch("s", &PatchParams::default(), &patch).await),
        @r#"422 Invalid: Service "s" is invalid: spec.clusterIPs[0]: Invalid value: ["10.96.7.7"]: may not change once set"#);
}

#[tokio::test(start_paused = true)]
async fn a_pod_changes_its_image_only() {
    let bed = Bed::new();
    bed.add_pod("p").await;
    let set = |key: &str, value: Value| {
        Patch::Strategic(json!({ "spec": { "containers": [{ "name": "web", key: value }] } }))
    };
    let params = PatchParams::default();
    bed.pods().patch("p", &params, &set("image", json!("web:2"))).await.unwrap();
    let other = bed.pods().patch("p", &params, &set("command", json!(["x"]))).await;
    assert!(told(other).contains("spec: Forbidden: pod updates may not change fields other than"));
}
