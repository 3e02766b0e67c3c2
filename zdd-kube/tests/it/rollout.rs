//! Whole rollouts by the engine.

use std::time::Duration;

use serde_json::json;
use zdd_core::{Amount, Outcome, Rollout};
use zdd_sim::{Collection, LoadSpec, Object};
use zdd_strategies::{Rolling, RollingConfig};

use crate::support::{deployment, rollout, started, started_with, to, web};

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

#[tokio::test(start_paused = true)]
async fn a_surge_above_all_pods_is_taken_and_given_back() {
    let mut object = deployment(4, "web:1");
    object["spec"]["strategy"] =
        json!({ "rollingUpdate": { "maxSurge": "150%", "maxUnavailable": 0 } });
    let running = started_with(object).await;
    let before = running.deployment()["spec"]["strategy"].clone();
    assert_eq!(before["rollingUpdate"]["maxSurge"], "150%");
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 500));
    let surge = RollingConfig::default().max_surge("201%".parse::<Amount>().unwrap());
    let strategy = Rolling::new(surge).unwrap();
    let rollout = Rollout::new(running.backend(), web(), to("web:2"), strategy);
    let plan = rollout.plan().await.unwrap().to_string();
    assert!(plan.contains("set the pod template (maxSurge 201%, maxUnavailable 0)"), "{plan}");
    assert!(plan.contains("give settings back (maxSurge 150%, maxUnavailable 0)"), "{plan}");
    assert_eq!(rollout.run().await.unwrap().outcome, Outcome::Promoted);
    assert_eq!(running.deployment()["spec"]["strategy"], before);
    let counts = traffic.counts();
    assert_eq!(counts.failed, 0, "{counts:?}");
}
