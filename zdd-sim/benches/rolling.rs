//! What a rolling update costs the cluster itself: controllers, kubelet, data plane, no driver.
#![expect(clippy::unwrap_used, reason = "a bench has nobody to report to")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use zdd_sim::{Cluster, Collection, LoadSpec, Object, Part};

fn main() {
    divan::main();
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Steps the cluster until nothing is due within the next second.
async fn settle(cluster: &Cluster) {
    while let Some(next) = cluster.step() {
        if next > Instant::now() + Duration::from_secs(60) {
            return;
        }
        tokio::time::sleep_until(next).await;
    }
}

fn create(cluster: &Cluster, index: usize, replicas: i64) {
    let user: Arc<str> = Arc::from("user");
    let name = format!("web-{index}");
    let labels = json!({"app": name});
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "web:1"}]},
            },
        },
    });
    cluster.with_store(|store| {
        store.create(&user, &Collection::SERVICES, service).unwrap();
        store.create(&user, &Collection::DEPLOYMENTS, deployment).unwrap();
    });
}

fn roll(cluster: &Cluster, index: usize) {
    let user: Arc<str> = Arc::from("user");
    let name = format!("web-{index}");
    cluster.with_store(|store| {
        let place = ("default", name.as_str());
        store
            .modify(&user, &Collection::DEPLOYMENTS, Part::Main, place, |object| {
                object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
            })
            .unwrap();
    });
}

fn check(cluster: &Cluster, index: usize, replicas: i64) {
    let name = format!("web-{index}");
    cluster.with_store(|store| {
        let deployment = store.get(&Collection::DEPLOYMENTS, "default", &name).unwrap();
        assert_eq!(deployment.int("/status/updatedReplicas"), Some(replicas));
        assert_eq!(deployment.int("/status/replicas"), Some(replicas));
    });
}

/// A complete rolling update of one Deployment, with the cluster made beforehand.
#[divan::bench(args = [6, 60])]
fn update(bencher: divan::Bencher<'_, '_>, replicas: i64) {
    bencher
        .with_inputs(|| {
            let runtime = paused();
            let cluster = runtime.block_on(async {
                let cluster = Cluster::builder().build();
                create(&cluster, 0, replicas);
                settle(&cluster).await;
                cluster
            });
            (runtime, cluster)
        })
        .bench_local_values(|(runtime, cluster)| {
            runtime.block_on(async {
                let load = cluster.send(LoadSpec::new("default", "web-0", 1000));
                roll(&cluster, 0);
                settle(&cluster).await;
                assert_eq!(load.counts().failed, 0);
            });
            check(&cluster, 0, replicas);
        });
}

/// A cluster made, a Deployment of 6 brought up and rolled: one run of a fault harness without
/// its driver.
#[divan::bench]
fn from_nothing() {
    let runtime = paused();
    runtime.block_on(async {
        let cluster = Cluster::builder().without_events().build();
        create(&cluster, 0, 6);
        settle(&cluster).await;
        roll(&cluster, 0);
        settle(&cluster).await;
        check(&cluster, 0, 6);
    });
}

/// Many Deployments of 6 in one cluster, all rolled at once: the cost must grow with their number
/// and not with its square.
#[divan::bench(args = [10, 100], sample_count = 5)]
fn many_at_once(bencher: divan::Bencher<'_, '_>, count: usize) {
    bencher.counter(divan::counter::ItemsCount::new(count)).bench_local(|| {
        let runtime = paused();
        runtime.block_on(async {
            let cluster = Cluster::builder().without_events().build();
            for index in 0..count {
                create(&cluster, index, 6);
            }
            settle(&cluster).await;
            for index in 0..count {
                roll(&cluster, index);
            }
            settle(&cluster).await;
            check(&cluster, count - 1, 6);
        });
    });
}
