//! Rollouts of real workloads.

use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_strategies::Rolling;

use crate::real::cluster::{Real, deployment, service};

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
