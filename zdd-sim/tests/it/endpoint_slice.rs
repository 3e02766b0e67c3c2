//! The EndpointSlice controller: conditions, labels, sizes, and the order of writes.

use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{Behaviour, Change, Cluster, Collection, Images, Object};

use crate::support::{Running, deployment, service, start, template};

const MINUTES: Duration = Duration::from_secs(600);

fn slices(running: &Running) -> Vec<std::sync::Arc<Value>> {
    running.list(&Collection::ENDPOINT_SLICES)
}

fn ready(running: &Running) -> usize {
    let slices = slices(running);
    let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
    endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
}

async fn running(replicas: i64) -> Running {
    let running = start(Cluster::builder());
    running.create(&Collection::SERVICES, service());
    running.create(&Collection::DEPLOYMENTS, deployment(replicas, "web:1"));
    let wanted = usize::try_from(replicas).unwrap();
    running.until(MINUTES, |running| ready(running) == wanted).await;
    running
}

#[tokio::test(start_paused = true)]
async fn a_service_without_pods_has_an_empty_slice() {
    let running = start(Cluster::builder());
    running.create(&Collection::SERVICES, service());
    running.until(MINUTES, |running| slices(running).len() == 1).await;
    let slice = &slices(&running)[0];
    assert_eq!(slice["endpoints"], json!(null));
    assert_eq!(slice["ports"], json!(null));
    assert_eq!(slice["addressType"], "IPv4");
    let name = slice.name().to_owned();
    running.create(&Collection::DEPLOYMENTS, deployment(1, "web:1"));
    running.until(MINUTES, |running| ready(running) == 1).await;
    assert_eq!(slices(&running)[0].name(), name, "the placeholder is used, not replaced");
}

#[tokio::test(start_paused = true)]
async fn named_ports_are_resolved_and_labels_mirrored() {
    let running = running(1).await;
    let slice = &slices(&running)[0];
    assert_eq!(slice["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(
        slice["metadata"]["labels"],
        json!({
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_label_of_the_service_reaches_the_slices_with_its_selector() {
    let running = running(2).await;
    let mut green = deployment(3, "web:2");
    green["metadata"]["name"] = "green".into();
    let labels = json!({"app": "green"});
    green["spec"]["selector"]["matchLabels"] = labels.clone();
    green["spec"]["template"]["metadata"]["labels"] = labels.clone();
    running.create(&Collection::DEPLOYMENTS, green);
    running.complete("green").await;
    let since = running.cluster.with_store(|store| store.revision());
    running.edit(&Collection::SERVICES, "web", |object| {
        object["spec"]["selector"] = labels;
        object["metadata"]["labels"]["epoch"] = "7".into();
    });
    running
        .until(MINUTES, |running| {
            slices(running).iter().all(|slice| slice.label("epoch") == Some("7"))
        })
        .await;
    assert_eq!(ready(&running), 3);
    let writes = running.cluster.with_store(|store| {
        let entries = store.since(since).unwrap();
        entries.filter(|entry| entry.collection == Collection::ENDPOINT_SLICES).count()
    });
    assert_eq!(writes, 1, "a switch of one slice is one write");
}

#[tokio::test(start_paused = true)]
async fn a_slice_holds_a_hundred_endpoints() {
    let running = running(230).await;
    let mut sizes: Vec<_> =
        slices(&running).iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [30, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_switch_of_many_slices_creates_before_it_updates_and_deletes_last() {
    let running = running(150).await;
    let mut green = deployment(350, "web:2");
    green["metadata"]["name"] = "green".into();
    let labels = json!({"app": "green"});
    green["spec"]["selector"]["matchLabels"] = labels.clone();
    green["spec"]["template"]["metadata"]["labels"] = labels.clone();
    running.create(&Collection::DEPLOYMENTS, green);
    running.complete("green").await;
    let changes = |since| -> Vec<Change> {
        running.cluster.with_store(|store| {
            let entries = store.since(since).unwrap();
            let own = entries.filter(|entry| entry.collection == Collection::ENDPOINT_SLICES);
            own.map(|entry| entry.change).collect()
        })
    };
    let since = running.cluster.with_store(|store| store.revision());
    running.edit(&Collection::SERVICES, "web", |object| object["spec"]["selector"] = labels);
    running.until(MINUTES, |running| ready(running) == 350).await;
    let (a, m, d) = (Change::Added, Change::Modified, Change::Deleted);
    assert_eq!(changes(since), [a, a, m, m]);
    let since = running.cluster.with_store(|store| store.revision());
    running.edit(&Collection::SERVICES, "web", |object| {
        object["spec"]["selector"] = json!({"app": "web"});
    });
    running.until(MINUTES, |running| slices(running).len() == 2).await;
    assert_eq!(changes(since), [m, m, d, d]);
}

#[tokio::test(start_paused = true)]
async fn conditions_follow_the_pod() {
    let running = running(1).await;
    let conditions = |running: &Running| {
        let slices = slices(running);
        let condition = &slices[0]["endpoints"][0]["conditions"];
        ["ready", "serving", "terminating"].map(|key| condition[key] == true)
    };
    assert_eq!(conditions(&running), [true, true, false]);
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["replicas"] = 0.into());
    running.until(MINUTES, |running| conditions(running) == [false, true, true]).await;
    running.until(MINUTES, |running| slices(running)[0]["endpoints"].is_null()).await;
}

#[tokio::test(start_paused = true)]
async fn publish_not_ready_addresses_makes_all_ready_but_not_serving() {
    let running =
        start(Cluster::builder().images(Images::new().with("web:1", Behaviour::never_ready())));
    let mut object = service();
    object["spec"]["publishNotReadyAddresses"] = true.into();
    running.create(&Collection::SERVICES, object);
    running.create(&Collection::DEPLOYMENTS, deployment(1, "web:1"));
    running.until(MINUTES, |running| ready(running) == 1).await;
    let slices = slices(&running);
    assert_eq!(slices[0]["endpoints"][0]["conditions"]["serving"], false);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_a_selector_is_left_alone() {
    let running = start(Cluster::builder());
    let mut object = service();
    object["spec"].as_object_mut().unwrap().remove("selector");
    running.create(&Collection::SERVICES, object);
    let pod = json!({
        "metadata": {"name": "solo", "namespace": "default", "labels": {"app": "web"}},
        "spec": template("web:1")["spec"],
    });
    running.create(&Collection::PODS, pod);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(slices(&running).len(), 0);
}
