//! One driver per target; a driver that was replaced can do no harm.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use zdd_core::{
    Cluster as _, ClusterError, Epoch, Lease as _, LeaseError, Mark, RolloutId, Settings, Step,
    Template,
};
use zdd_kube::{KubeCluster, KubeLease};
use zdd_sim::{Collection, Fault, Faults, Object, Plan};

use crate::support::{Running, started, template, web};

fn lease(running: &Running) -> KubeLease {
    KubeLease::new(running.cluster.client())
}

fn object(running: &Running) -> std::sync::Arc<serde_json::Value> {
    running.get(&Collection::LEASES, "zdd-deployment-web").unwrap()
}

#[tokio::test(start_paused = true)]
async fn epochs_grow_with_each_holder() {
    let running = started().await;
    for epoch in 1..=3 {
        let tenure = lease(&running).acquire(&web()).await.unwrap();
        assert_eq!(tenure.epoch(), Epoch::new(epoch));
        tenure.release().await;
        assert!(object(&running)["spec"]["holderIdentity"].is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_holder_is_named_soon() {
    let running = started().await;
    let held = lease(&running).holder("ci-1").acquire(&web()).await.unwrap();
    let start = Instant::now();
    let error = lease(&running).acquire(&web()).await.unwrap_err();
    let LeaseError::Held { holder, .. } = error else { panic!("{error}") };
    assert!(holder.starts_with("ci-1-"), "{holder}");
    assert!(Instant::now() - start <= Duration::from_secs(20));
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_waited_for_and_no_longer() {
    let running = started().await;
    // Dropped, as by a crash: nothing renews it, nothing gives it up.
    drop(lease(&running).acquire(&web()).await.unwrap());
    let start = Instant::now();
    let tenure = lease(&running).acquire(&web()).await.unwrap();
    assert_eq!(tenure.epoch(), Epoch::new(2));
    let waited = Instant::now() - start;
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_someone_deleted_does_not_start_again_at_one() {
    let running = started().await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["metadata"]["labels"] = json!({ "zdd.dev/epoch": "41" });
    });
    let tenure = lease(&running).acquire(&web()).await.unwrap();
    assert_eq!(tenure.epoch(), Epoch::new(42));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_before_it_runs_out() {
    let running = started().await;
    // Get, get of the target, create; then no request is answered any more.
    let silence = (3..200).map(|at| format!("{at}:hang-before")).collect::<Vec<_>>().join(",");
    let faults = Faults::new(silence.parse::<Plan>().unwrap());
    let api = running.cluster.api().with_faults(faults);
    let lease = KubeLease::new(kube::Client::new(api, "default"));
    let tenure = lease.acquire(&web()).await.unwrap();
    let start = Instant::now();
    tenure.lost().await;
    let held = Instant::now() - start;
    assert!(held < Duration::from_secs(30) && held > Duration::from_secs(20), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_takes_is_lost() {
    let running = started().await;
    let tenure = lease(&running).acquire(&web()).await.unwrap();
    running.edit(&Collection::LEASES, "zdd-deployment-web", |object| {
        object["spec"]["holderIdentity"] = json!("thief");
    });
    tokio::time::timeout(Duration::from_secs(11), tenure.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_with_unknown_outcomes_give_one_holder() {
    for at in 0..6 {
        for fault in [Fault::DropAfter, Fault::DropBefore, Fault::HangAfter, Fault::Conflict] {
            let running = started().await;
            let faults = Faults::new(Plan::single(at, fault.clone()));
            let api = running.cluster.api().with_faults(faults);
            let lease = KubeLease::new(kube::Client::new(api, "default"));
            let tenure = lease.acquire(&web()).await.unwrap();
            assert_eq!(tenure.epoch(), Epoch::new(1), "{at} {fault:?}");
            let lost = tokio::time::timeout(Duration::from_secs(120), tenure.lost()).await;
            assert!(lost.is_err(), "{at} {fault:?}: a fault of one request lost the lease");
            tenure.release().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_replaced_driver_fails() {
    let running = started().await;
    let cluster = KubeCluster::new(running.cluster.client());
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = |epoch| Mark::new(&target, &rollout, Epoch::new(epoch));
    let seen = cluster.observe(&target).await.unwrap();
    cluster.fence(&mark(2)).await.unwrap();
    let generation = running.deployment().generation();
    assert_eq!(generation, seen.workload.as_ref().unwrap().generation, "a fence is no change");

    let template = Template::new(template("web:2"));
    let step = Step::SetTemplate { template, settings: Settings::default() };
    let error = cluster.apply(&step, &seen, &mark(1)).await.unwrap_err();
    assert!(
        matches!(error, ClusterError::Fenced { newer, .. } if newer == Epoch::new(2)),
        "{error}"
    );
    let error = cluster.fence(&mark(1)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Fenced { .. }), "{error}");
    assert_eq!(running.deployment().generation(), generation);

    // What the newer driver saw before its fence still holds.
    cluster.apply(&step, &seen, &mark(2)).await.unwrap();
    assert_eq!(running.deployment()["spec"]["template"]["spec"]["containers"][0]["image"], "web:2");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_as_seen_is_left_alone() {
    let running = started().await;
    let cluster = KubeCluster::new(running.cluster.client());
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:hotfix");
    });
    let error = cluster.apply(&Step::Pause, &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert!(running.deployment()["spec"]["paused"].is_null());
}
