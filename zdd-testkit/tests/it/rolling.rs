//! The rolling update on the embedded cluster, as an operator would read it.

use std::fmt::Write as _;
use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use zdd_core::{
    Change, Outcome, Progress, ProgressKind, Report, Rollout, RolloutError, Target, Template,
    WorkloadKind, elapsed,
};
use zdd_sim::{Behaviour, Cluster, Images};
use zdd_strategies::{Rolling, RollingConfig, Stage};
use zdd_testkit::{Lab, workload};

fn images() -> Images {
    Images::new()
        .with("web:1", Behaviour::default())
        .with("web:2", Behaviour::default())
        .with("web:crash", Behaviour::crashing())
}

async fn lab(kind: WorkloadKind, replicas: u32) -> Lab {
    let builder = Cluster::builder().seed(1).images(images());
    Lab::start(builder, Target::new(kind, "default", "web"), replicas).await
}

/// Runs a rollout and returns its report and its story; no request may be lost.
async fn told(lab: &Lab, rollout: Rollout) -> (Result<Report, RolloutError>, String) {
    let progress = rollout.handle().progress();
    let (report, events) = tokio::join!(rollout.run(), progress.collect::<Vec<Progress>>());
    let start = events.first().map(|event| event.at);
    let mut story = String::new();
    for event in events {
        if !matches!(event.kind, ProgressKind::Warning { .. }) {
            let seconds = elapsed(start.unwrap(), event.at).as_secs();
            let what = without_suffix(&event.kind.to_string());
            writeln!(story, "t+{:02}:{:02} {what}", seconds / 60, seconds % 60).unwrap();
        }
    }
    let requests = lab.requests();
    assert_eq!(requests.failed, 0, "{requests:?}\n{story}");
    (report, story)
}

/// Generated parts of pod names say nothing to a reader.
fn without_suffix(text: &str) -> String {
    let name = |word: &str| word.starts_with("web-").then_some("web-…");
    text.split(' ').map(|word| name(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

fn rolling(config: RollingConfig) -> Rolling {
    Rolling::new(config).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_version_is_promoted() {
    let lab = lab(WorkloadKind::Deployment, 4).await;
    let config = RollingConfig::default().max_surge(2).soak(Duration::from_secs(10));
    let rollout = lab.rollout(lab.cluster().api(), "web:2", rolling(config));
    let (report, story) = told(&lab, rollout).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    insta::assert_snapshot!(story);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_version_is_rolled_back() {
    let lab = lab(WorkloadKind::Deployment, 4).await;
    let rollout = lab.rollout(lab.cluster().api(), "web:crash", Rolling::default());
    let (report, story) = told(&lab, rollout).await;
    assert!(matches!(report.unwrap().outcome, Outcome::RolledBack { .. }));
    insta::assert_snapshot!(story);
}

#[tokio::test(start_paused = true)]
async fn a_stage_is_watched_before_the_rest_follows() {
    let lab = lab(WorkloadKind::Deployment, 6).await;
    let config =
        RollingConfig::default().max_surge(3).stage(Stage::new(1, Duration::from_secs(30)));
    let rollout = lab.rollout(lab.cluster().api(), "web:2", rolling(config));
    let (report, story) = told(&lab, rollout).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    insta::assert_snapshot!(story);
}

#[tokio::test(start_paused = true)]
async fn rollback_needs_no_revision_history() {
    let target = Target::deployment("default", "web");
    let mut object = workload(&target, "web:1", 3);
    object["spec"]["revisionHistoryLimit"] = json!(0);
    let builder = Cluster::builder().seed(1).images(images());
    let lab = Lab::start_with(builder, target, object).await;
    let before = lab.workload().unwrap()["spec"].clone();
    let rollout = lab.rollout(lab.cluster().api(), "web:crash", Rolling::default());
    let (report, _) = told(&lab, rollout).await;
    assert!(matches!(report.unwrap().outcome, Outcome::RolledBack { .. }));
    assert_eq!(lab.workload().unwrap()["spec"], before);
}

#[tokio::test(start_paused = true)]
async fn undo_restart_and_template_are_changes_like_any_other() {
    let lab = lab(WorkloadKind::Deployment, 2).await;
    let image = |lab: &Lab| {
        let workload = lab.workload().unwrap();
        workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let run = async |change: Change| {
        let rollout = lab.change(lab.cluster().api(), change, Rolling::default());
        let (report, story) = told(&lab, rollout).await;
        assert_eq!(report.unwrap().outcome, Outcome::Promoted, "{story}");
    };
    run(Change::image("app", "web:2")).await;
    assert_eq!(image(&lab), "web:2");
    run(Change::Undo { revision: None }).await;
    assert_eq!(image(&lab), "web:1");
    run(Change::Restart).await;
    let workload = lab.workload().unwrap();
    let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{annotations}");
    run(Change::Template(Template::new(zdd_testkit::template("web:2")))).await;
    assert_eq!(image(&lab), "web:2");
}

#[tokio::test(start_paused = true)]
async fn zero_replicas_roll_at_once() {
    let lab = lab(WorkloadKind::Deployment, 2).await;
    let actor = std::sync::Arc::from("kubectl");
    lab.cluster()
        .with_store(|store| {
            let kind = zdd_sim::Collection::DEPLOYMENTS;
            store.modify(&actor, &kind, zdd_sim::Part::Main, ("default", "web"), |object| {
                object["spec"]["replicas"] = 0.into();
            })
        })
        .unwrap();
    let rollout = lab.rollout(lab.cluster().api(), "web:2", Rolling::default());
    assert_eq!(rollout.run().await.unwrap().outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn stateful_sets_and_daemon_sets_have_their_own_rules() {
    for kind in [WorkloadKind::StatefulSet, WorkloadKind::DaemonSet] {
        let lab = lab(kind, 3).await;
        let before = lab.workload().unwrap()["spec"].clone();
        let rollout = lab.rollout(lab.cluster().api(), "web:2", Rolling::default());
        let (report, story) = told(&lab, rollout).await;
        assert_eq!(report.unwrap().outcome, Outcome::Promoted, "{kind}: {story}");
        // A crashing version goes back, also where the controller waits for a broken pod.
        let rollout = lab.rollout(lab.cluster().api(), "web:crash", Rolling::default());
        let (report, story) = told(&lab, rollout).await;
        assert!(matches!(report.unwrap().outcome, Outcome::RolledBack { .. }), "{kind}: {story}");
        let mut after = lab.workload().unwrap()["spec"].clone();
        after["template"] = before["template"].clone();
        assert_eq!(after, before, "{kind}: the settings came back");
    }
}
