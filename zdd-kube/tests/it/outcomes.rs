//! Rollouts that do not go as planned, and other changes than of an image.

use std::time::Duration;

use serde_json::json;
use zdd_core::{Change, Outcome, Report, Rollout, Superseder, Target, Template, chain};
use zdd_sim::{Behaviour, Cluster, Collection, Images, LoadSpec, Object};
use zdd_strategies::Rolling;

use crate::support::{
    Running, daemon_set, deployment, rollout, started, started_in, stateful_set, template, to,
};

async fn run(rollout: Rollout) -> Report {
    let limited = tokio::time::timeout(Duration::from_secs(7200), rollout.run()).await;
    limited.unwrap().unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Rolls to a bad image: the old one must serve again, and no request may fail.
async fn turns_back(image: &str, push: impl FnOnce(&Running)) -> String {
    // A registry that holds these images and no other.
    let images =
        Images::new().with("web:1", Behaviour::default()).with("web:2", Behaviour::default());
    let running =
        started_in(Cluster::builder().seed(7).images(images), deployment(6, "web:1")).await;
    push(&running);
    let before = running.deployment();
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 100));
    let report = run(rollout(running.backend(), to(image))).await;
    let counts = traffic.counts();
    assert_eq!(counts.failed, 0, "{counts:?}");
    assert_eq!(running.images(), ["web:1"]);
    let after = running.deployment();
    assert_eq!(after["spec"], before["spec"], "not all was given back");
    report.outcome.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_crashing_version_is_taken_back_in_the_clusters_words() {
    let outcome = turns_back("web:bad", |running| running.push_crashing("web:bad")).await;
    assert!(outcome.starts_with("rolled back: pod web-"), "{outcome}");
    assert!(outcome.contains("container app: crash: exit code"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_taken_back_in_the_clusters_words() {
    let outcome = turns_back("web:gone", |_| {}).await;
    assert!(outcome.contains("container app: image:"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_never_gets_ready_is_taken_back() {
    let push = |running: &Running| running.cluster.push_image("web:slow", Behaviour::never_ready());
    let outcome = turns_back("web:slow", push).await;
    assert!(outcome.starts_with("rolled back: no progress in time"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_in_the_clusters_words() {
    let push = |running: &Running| {
        running.cluster.api().admission().deny("quota.example.com", |collection, pod| {
            let new = pod["spec"]["containers"][0]["image"] == "web:2";
            (collection == &Collection::PODS && new).then(|| "no room".to_owned())
        });
    };
    let outcome = turns_back("web:2", push).await;
    assert!(outcome.contains("no room"), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_target_deleted_midway_ends_as_superseded() {
    let running = started().await;
    running.cluster.push_image("web:slow", Behaviour::never_ready());
    let delete = async {
        running.until(|running| running.images().contains(&"web:slow".to_owned())).await;
        running.delete(&Collection::DEPLOYMENTS, "web");
    };
    let (report, ()) = tokio::join!(run(rollout(running.backend(), to("web:slow"))), delete);
    assert_eq!(report.outcome, Outcome::Superseded { by: Superseder::Deletion });
}

#[tokio::test(start_paused = true)]
async fn a_template_that_someone_sets_midway_stays() {
    let running = started().await;
    running.cluster.push_image("web:slow", Behaviour::never_ready());
    let edit = async {
        running.until(|running| running.images().contains(&"web:slow".to_owned())).await;
        running.edit(&Collection::DEPLOYMENTS, "web", |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:hotfix");
        });
    };
    let (report, ()) = tokio::join!(run(rollout(running.backend(), to("web:slow"))), edit);
    assert_eq!(report.outcome, Outcome::Superseded { by: Superseder::Edit });
    running.settle("web").await;
    running.until(|running| running.images() == ["web:hotfix"]).await;
    let deployment = running.deployment();
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], "25%");
}

#[tokio::test(start_paused = true)]
async fn replicas_that_someone_sets_midway_stay() {
    let running = started().await;
    let scale = async {
        running.until(|running| running.images().contains(&"web:2".to_owned())).await;
        running.edit(&Collection::DEPLOYMENTS, "web", |object| {
            object["spec"]["replicas"] = json!(9);
        });
    };
    let (report, ()) = tokio::join!(run(rollout(running.backend(), to("web:2"))), scale);
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(running.deployment().int("/status/availableReplicas"), Some(9));
}

#[tokio::test(start_paused = true)]
async fn undo_goes_back_to_an_earlier_revision() {
    let running = started().await;
    for image in ["web:2", "web:3"] {
        run(rollout(running.backend(), to(image))).await;
    }
    run(rollout(running.backend(), Change::Undo { revision: None })).await;
    assert_eq!(running.images(), ["web:2"]);
    run(rollout(running.backend(), Change::Undo { revision: Some(1) })).await;
    assert_eq!(running.images(), ["web:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_replaces_all_pods() {
    let running = started().await;
    let uids = |running: &Running| -> Vec<String> {
        running.list(&Collection::PODS).iter().map(|pod| pod.uid().to_owned()).collect()
    };
    let before = uids(&running);
    let report = run(rollout(running.backend(), Change::Restart)).await;
    assert_eq!(report.outcome, Outcome::Promoted);
    running.until(|running| running.list(&Collection::PODS).len() == 6).await;
    assert!(uids(&running).iter().all(|uid| !before.contains(uid)));
}

#[tokio::test(start_paused = true)]
async fn a_bare_template_is_completed_by_the_cluster() {
    let running = started().await;
    let change = Change::Template(Template::new(template("web:2")));
    let report = run(rollout(running.backend(), change)).await;
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(running.images(), ["web:2"]);
}

#[tokio::test(start_paused = true)]
async fn no_pods_roll_at_once() {
    let running = started().await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["replicas"] = json!(0));
    running.settle("web").await;
    running.until(|running| running.list(&Collection::PODS).is_empty()).await;
    let report = run(rollout(running.backend(), to("web:2"))).await;
    assert_eq!(report.outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn stateful_sets_and_daemon_sets_roll_and_turn_back() {
    let running = started().await;
    running.create(stateful_set(3, "web:1")).await;
    running.create(daemon_set("web:1")).await;
    for target in [Target::stateful_set("default", "db"), Target::daemon_set("default", "agent")] {
        running.up(&target).await;
        let image = |running: &Running| running.images_of(&target);
        let to = |image| {
            let backend = running.backend();
            Rollout::new(backend, target.clone(), to(image), Rolling::default())
        };
        assert_eq!(run(to("web:2")).await.outcome, Outcome::Promoted, "{target}");
        assert_eq!(image(&running), ["web:2"], "{target}");
        let undo = Change::Undo { revision: Some(1) };
        let back = Rollout::new(running.backend(), target.clone(), undo, Rolling::default());
        assert_eq!(run(back).await.outcome, Outcome::Promoted, "{target}");
        assert_eq!(image(&running), ["web:1"], "{target}");
        assert_eq!(run(to("web:2")).await.outcome, Outcome::Promoted, "{target}");
        running.push_crashing("web:bad");
        let outcome = run(to("web:bad")).await.outcome;
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{target}: {outcome}");
        assert_eq!(image(&running), ["web:2"], "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_target_how_it_went() {
    let running = started().await;
    run(rollout(running.backend(), to("web:2"))).await;
    let uid = running.deployment().uid().to_owned();
    // Stored in the form of the core group, whichever they were sent in.
    let events = running.list(&Collection::EVENTS);
    let ours = events.iter().filter(|event| event["reportingComponent"] == "zdd.dev/zdd");
    let told: Vec<String> = ours
        .map(|event| {
            assert_eq!(event["involvedObject"]["uid"], json!(uid), "{event}");
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            format!("{}: {}", text("reason"), text("message"))
        })
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&"RolloutPromoted: promoted".to_owned()), "{told:?}");
}
