//! Rollouts of real workloads.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use tokio::time::Instant;
use zdd_core::{Change, Outcome, ProgressKind, Reason, Rollout, Target};
use zdd_strategies::Rolling;

use crate::real::cluster::{Real, deployment, service, workload};

#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn a_real_deployment_is_promoted_and_gets_its_settings_back() {
    let real = Real::new("promoted").await;
    real.create(service("web")).await;
    real.create(deployment(3, "web:1")).await;
    let before = real.settled("web").await;
    let target = Target::deployment(&*real.namespace, "web");
    let backend = zdd_kube::backend(real.admin.clone());
    let rollout = Rollout::new(backend, target, Change::image("app", "web:2"), Rolling::default());
    let report = rollout.run().await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(real.images().await, ["web:2"]);
    let after = real.settled("web").await;
    assert_eq!(after["spec"]["strategy"], before["spec"]["strategy"]);
    assert_eq!(after["spec"]["replicas"], 3);
}

#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn a_version_without_an_image_is_rolled_back_to_what_was_there() {
    let real = Real::new("missing").await;
    real.create(service("web")).await;
    real.create(deployment(3, "web:1")).await;
    let before = real.settled("web").await;
    let target = Target::deployment(&*real.namespace, "web");
    let backend = zdd_kube::backend(real.admin.clone());
    let rollout =
        Rollout::new(backend, target, Change::image("app", "web:missing"), Rolling::default());
    let report = rollout.run().await.unwrap();
    let Outcome::RolledBack { reason } = report.outcome else { panic!("{:?}", report.outcome) };
    // The message is the kubelet's own, so only its kind is the same on both levels.
    assert!(format!("{reason:?}").contains("container app: image: "), "{reason:?}");
    let after = real.settled("web").await;
    assert_eq!(after["spec"]["template"]["spec"], before["spec"]["template"]["spec"]);
    assert_eq!(after["spec"]["strategy"], before["spec"]["strategy"]);
    assert_eq!(real.images().await, ["web:1"]);
}

/// Its status does not tell: the rollout has it from an Event of the controller.
#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn a_quota_turns_a_stateful_set_back_within_seconds() {
    let real = Real::new("quota").await;
    real.create(service("db")).await;
    real.create(workload("StatefulSet", "db")).await;
    let all = |object: &serde_json::Value| object["status"]["availableReplicas"] == 2;
    real.until("apps/v1", "StatefulSet", "db", all).await;
    // Pods that are there stay; one that goes is not made again.
    real.create(json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "small" },
        "spec": { "hard": { "pods": "1" } },
    }))
    .await;
    let counted = |object: &serde_json::Value| object["status"]["used"]["pods"] == "2";
    real.until("v1", "ResourceQuota", "small", counted).await;

    let target = Target::stateful_set(&*real.namespace, "db");
    let backend = zdd_kube::backend(real.admin.clone());
    let rollout = Rollout::new(backend, target, Change::image("app", "web:2"), Rolling::default());
    let mut progress = rollout.handle().progress();
    let began = Instant::now();
    let owner = async {
        while let Some(event) = progress.next().await {
            if matches!(event.kind, ProgressKind::RollbackStarted { .. }) {
                break;
            }
        }
        let turned = began.elapsed();
        real.api("v1", "ResourceQuota").delete("small", &Default::default()).await.unwrap();
        turned
    };
    let (report, turned) = tokio::join!(rollout.run(), owner);
    let Outcome::RolledBack { reason: Reason::CannotCreatePods { message } } =
        report.unwrap().outcome
    else {
        panic!("it was not the quota");
    };
    assert!(message.contains("exceeded quota: small"), "{message}");
    assert!(turned < Duration::from_secs(60), "{turned:?}");
    real.until("apps/v1", "StatefulSet", "db", all).await;
    assert_eq!(real.images().await, ["web:1"]);
}
