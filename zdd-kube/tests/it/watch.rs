//! The stream of snapshots: complete, coalesced, healing.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::json;
use zdd_core::{Cluster as _, ClusterError, Completion, Snapshot, Target};
use zdd_kube::KubeCluster;
use zdd_sim::{Authorizer, Collection, Fault, Faults, Plan, Verb};

use crate::support::{Running, deployment, started, started_with, web};

type Snapshots = BoxStream<'static, Result<Snapshot, ClusterError>>;

fn watch(running: &Running, faults: &Faults) -> Snapshots {
    let api = running.cluster.api().with_faults(faults.clone());
    KubeCluster::new(kube::Client::new(api, "default")).watch(&web())
}

async fn next(snapshots: &mut Snapshots) -> Result<Snapshot, ClusterError> {
    tokio::time::timeout(Duration::from_secs(600), snapshots.next()).await.unwrap().unwrap()
}

/// Reads on until a snapshot shows a fact; errors in between are what healing is about.
async fn until(snapshots: &mut Snapshots, mut fact: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    loop {
        if let Ok(snapshot) = next(snapshots).await
            && fact(&snapshot)
        {
            return snapshot;
        }
    }
}

fn replicas(snapshot: &Snapshot) -> u32 {
    snapshot.workload.as_ref().map_or(0, |workload| workload.replicas)
}

fn scale(running: &Running, replicas: u32) {
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["replicas"] = json!(replicas);
    });
}

#[tokio::test(start_paused = true)]
async fn the_first_snapshot_is_complete_and_equals_a_reading() {
    let running = started().await;
    let first = next(&mut watch(&running, &Faults::none())).await.unwrap();
    assert_eq!(first.pods.len(), 6);
    assert_eq!(first.services[0].ready.len(), 6);
    assert!(first.endpoints_follow());
    let workload = first.workload.as_ref().unwrap();
    assert_eq!(workload.completion, Completion::Complete);
    assert_eq!(first.pods[0].revision, workload.revision);
    let read = KubeCluster::new(running.cluster.client()).observe(&web()).await.unwrap();
    assert_eq!(read, first);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_when_nothing_changes() {
    let running = started().await;
    let faults = Faults::none();
    let mut snapshots = watch(&running, &faults);
    next(&mut snapshots).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(3600), snapshots.next()).await;
    assert!(silence.is_err());
    let requests = faults.requests();
    let lists = requests.iter().filter(|seen| seen.verb == Verb::List).count();
    assert_eq!(lists, 5, "one list per kind, for ever");
    // The server ends each watch after 290 s.
    assert!(requests.len() <= 5 + 5 * 13, "{}", requests.len());
}

#[tokio::test(start_paused = true)]
async fn a_burst_gives_few_snapshots() {
    let running = started().await;
    let mut snapshots = watch(&running, &Faults::none());
    next(&mut snapshots).await.unwrap();
    for count in 7..57 {
        scale(&running, count);
    }
    let mut told = 0;
    until(&mut snapshots, |snapshot| {
        told += 1;
        replicas(snapshot) == 56
    })
    .await;
    assert!(told <= 3, "{told} snapshots for one burst");
}

#[tokio::test(start_paused = true)]
async fn each_request_may_fail_and_the_stream_goes_on() {
    // Five lists and five watches; the faults of lists and of watches, each at each place.
    let kinds = Fault::all_for(Verb::List).into_iter().chain(Fault::all_for(Verb::Watch));
    for fault in kinds.filter(|fault| !matches!(fault, Fault::CrashAfter | Fault::CrashBefore)) {
        for at in 0..10 {
            let running = started_with(deployment(1, "web:1")).await;
            let mut snapshots = watch(&running, &Faults::new(Plan::single(at, fault.clone())));
            until(&mut snapshots, |snapshot| replicas(snapshot) == 1).await;
            scale(&running, 2);
            let all = |snapshot: &Snapshot| {
                snapshot.services.first().is_some_and(|service| service.ready.len() == 2)
                    && snapshot.pods.len() == 2
                    && replicas(snapshot) == 2
            };
            let found = tokio::time::timeout(Duration::from_secs(900), until(&mut snapshots, all));
            assert!(found.await.is_ok(), "{at}:{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_refused_again_and_again_is_given_up() {
    let running = started().await;
    // Every watch of the first minutes is refused by status, from whatever revision.
    let plan = (0..60).map(|at| format!("{at}:gone-http")).collect::<Vec<_>>().join(",");
    let faults = Faults::new(plan.parse::<Plan>().unwrap());
    let mut snapshots = watch(&running, &faults);
    until(&mut snapshots, |snapshot| replicas(snapshot) == 6).await;
    scale(&running, 7);
    until(&mut snapshots, |snapshot| replicas(snapshot) == 7).await;
    assert!(faults.requests().len() < 120, "{}", faults.requests().len());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_goes_and_comes_back_is_followed() {
    let running = started().await;
    let mut snapshots = watch(&running, &Faults::none());
    let uid = next(&mut snapshots).await.unwrap().workload.unwrap().uid;
    running.delete(&Collection::DEPLOYMENTS, "web");
    until(&mut snapshots, |snapshot| snapshot.workload.is_none()).await;
    let mut other = deployment(2, "web:9");
    other["spec"]["selector"]["matchLabels"]["generation"] = json!("two");
    other["spec"]["template"]["metadata"]["labels"]["generation"] = json!("two");
    running.create(other).await;
    let whole = |snapshot: &Snapshot| {
        snapshot.workload.as_ref().is_some_and(|workload| {
            workload.uid != uid && workload.completion == Completion::Complete
        }) && snapshot.endpoints_follow()
    };
    let snapshot = until(&mut snapshots, whole).await;
    assert_eq!(snapshot.pods.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_exist_is_an_empty_snapshot() {
    let running = started().await;
    let cluster = KubeCluster::new(running.cluster.client());
    let nobody = Target::deployment("default", "nobody");
    assert_eq!(cluster.observe(&nobody).await.unwrap(), Snapshot::default());
    assert_eq!(next(&mut cluster.watch(&nobody)).await.unwrap(), Snapshot::default());
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_told_as_such() {
    let running = started().await;
    let rules = json!([{ "apiGroups": ["*"], "resources": ["deployments"], "verbs": ["*"] }]);
    let role = json!({ "kind": "ClusterRole", "metadata": { "name": "few" }, "rules": rules });
    let api = running.cluster.api().with_authorizer(Authorizer::from_roles([&role]).unwrap());
    let cluster = KubeCluster::new(kube::Client::new(api, "default"));
    let error = next(&mut cluster.watch(&web())).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_other_workloads_do_not_count() {
    let running = started().await;
    let mut other = deployment(3, "other:1");
    other["metadata"]["name"] = json!("web-canary");
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        *other.pointer_mut(labels).unwrap() = json!({ "app": "web", "track": "canary" });
    }
    running.create(other).await;
    let endpoints = |running: &Running| -> usize {
        let slices = running.list(&Collection::ENDPOINT_SLICES);
        slices.iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len)).sum()
    };
    running.until(|running| endpoints(running) == 9).await;
    let read = KubeCluster::new(running.cluster.client()).observe(&web()).await.unwrap();
    assert_eq!(read.pods.len(), 6);
    assert_eq!(read.services[0].ready.len(), 6);
}
