//! Whole rollouts by the engine.

use std::time::Duration;

use zdd_core::Outcome;
use zdd_sim::{Collection, LoadSpec, Object};

use crate::support::{rollout, started, to};

#[tokio::test(start_paused = true)]
async fn a_rolling_update_ends_promoted_and_loses_no_request() {
    let running = started().await;
    let before = running.deployment()["spec"]["strategy"].clone();
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 500));
    let rollout = rollout(running.backend(), to("web:2"));
    let report =
        tokio::time::timeout(Duration::from_secs(600), rollout.run()).await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(running.images(), ["web:2"]);
    let deployment = running.deployment();
    assert_eq!(deployment["spec"]["strategy"], before, "the knobs were not given back");
    assert_eq!(deployment.annotation("zdd.dev/rollout"), Some("r1"));
    let counts = traffic.counts();
    assert!(counts.sent > 500, "{counts:?}");
    assert_eq!(counts.failed, 0, "{counts:?}");
    assert!(running.get(&Collection::CONFIG_MAPS, "zdd-deployment-web").is_some());
}
