//! What other hands do to a StatefulSet or DaemonSet midway, and what only Events tell.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use zdd_core::{Backend, Outcome, ProgressKind, Reason, Rollout, Target, WorkloadKind, chain};
use zdd_sim::{ApiServer, Authorizer, Collection};
use zdd_strategies::{Rolling, RollingConfig};

use crate::support::{Running, daemon_set, started, stateful_set, to};

async fn with(target: &Target, object: Value) -> Running {
    let running = started().await;
    running.create(object).await;
    running.up(target).await;
    running
}

fn rollout(backend: Backend, target: &Target) -> Rollout {
    Rollout::new(backend, target.clone(), to("web:2"), Rolling::default())
}

async fn outcome(rollout: Rollout) -> Outcome {
    let limited = tokio::time::timeout(Duration::from_secs(7200), rollout.run()).await;
    limited.unwrap().unwrap_or_else(|error| panic!("{}", chain(&error))).outcome
}

/// What someone does to the workload.
type Hand = fn(&mut Value);

/// Lets someone stop a rollout after its first pod, and lets go when the rollout says that it
/// waits for them; returns its words.
async fn stopped_midway(target: &Target, object: Value, (stop, go): (Hand, Hand)) -> String {
    let running = with(target, object).await;
    let kind = collection(target);
    let rollout = rollout(running.backend(), target);
    let mut progress = rollout.handle().progress();
    let hands = async {
        running.until(|running| running.images_of(target).contains(&"web:2".to_owned())).await;
        running.edit(&kind, &target.name, stop);
        let told = loop {
            if let ProgressKind::Phase { name, what } = progress.next().await.unwrap().kind
                && name == "paused"
            {
                break what;
            }
        };
        // Far beyond the progress deadline: what someone wants is no lack of progress.
        tokio::time::sleep(Duration::from_secs(3_000)).await;
        assert_eq!(running.images_of(target), ["web:1", "web:2"]);
        running.edit(&kind, &target.name, go);
        told
    };
    let (outcome, told) = tokio::join!(outcome(rollout), hands);
    assert_eq!(outcome, Outcome::Promoted);
    assert_eq!(running.images_of(target), ["web:2"]);
    told
}

fn collection(target: &Target) -> Collection {
    match target.kind {
        WorkloadKind::DaemonSet => Collection::DAEMON_SETS,
        WorkloadKind::Deployment => Collection::DEPLOYMENTS,
        WorkloadKind::StatefulSet => Collection::STATEFUL_SETS,
    }
}

fn on_delete(object: &mut Value) {
    object["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
}

#[tokio::test(start_paused = true)]
async fn on_delete_midway_is_waited_out() {
    let told = stopped_midway(
        &Target::stateful_set("default", "db"),
        stateful_set(3, "web:1"),
        (on_delete, |object| {
            object["spec"]["updateStrategy"] =
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
        }),
    )
    .await;
    assert_eq!(told, "someone set updateStrategy.type to OnDelete; waiting for RollingUpdate");
}

#[tokio::test(start_paused = true)]
async fn on_delete_of_a_daemon_set_midway_is_waited_out() {
    let told = stopped_midway(
        &Target::daemon_set("default", "agent"),
        daemon_set("web:1"),
        (on_delete, |object| {
            object["spec"]["updateStrategy"] = json!({
                "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 },
            });
        }),
    )
    .await;
    assert_eq!(told, "someone set updateStrategy.type to OnDelete; waiting for RollingUpdate");
}

#[tokio::test(start_paused = true)]
async fn a_partition_midway_is_waited_out() {
    let told = stopped_midway(
        &Target::stateful_set("default", "db"),
        stateful_set(3, "web:1"),
        (
            |object| object["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(2),
            |object| object["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(0),
        ),
    )
    .await;
    assert_eq!(told, "someone set the partition to 2; waiting until it is 0 again");
}

#[tokio::test(start_paused = true)]
async fn the_owners_own_partition_stays_and_is_told() {
    let target = Target::stateful_set("default", "db");
    let mut object = stateful_set(3, "web:1");
    object["spec"]["updateStrategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
    let running = with(&target, object).await;
    let plan = rollout(running.backend(), &target).plan().await.unwrap();
    let told = "spec.updateStrategy.rollingUpdate.partition is 2: pods below that ordinal keep the \
                present template";
    assert!(plan.warnings.iter().any(|warning| warning == told), "{:?}", plan.warnings);
    assert_eq!(outcome(rollout(running.backend(), &target)).await, Outcome::Promoted);
    assert_eq!(running.images_of(&target), ["web:1", "web:2"]);
}

/// A policy of the cluster that takes no pods of the new version.
fn deny_new_pods(running: &Running) {
    running.cluster.api().admission().deny("quota.example.com", |collection, pod| {
        let new = pod["spec"]["containers"][0]["image"] == "web:2";
        (collection == &Collection::PODS && new).then(|| "no room".to_owned())
    });
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_refused_turn_other_kinds_back_within_seconds() {
    for (target, object) in [
        (Target::stateful_set("default", "db"), stateful_set(3, "web:1")),
        (Target::daemon_set("default", "agent"), daemon_set("web:1")),
    ] {
        let running = with(&target, object).await;
        deny_new_pods(&running);
        let began = Instant::now();
        let outcome = outcome(rollout(running.backend(), &target)).await;
        let Outcome::RolledBack { reason: Reason::CannotCreatePods { message } } = &outcome else {
            panic!("{target}: {outcome}");
        };
        assert!(message.contains("no room"), "{target}: {message}");
        assert!(began.elapsed() < Duration::from_secs(60), "{target}: {:?}", began.elapsed());
        assert_eq!(running.images_of(&target), ["web:1"], "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_from_before_says_nothing() {
    let target = Target::stateful_set("default", "db");
    let running = with(&target, stateful_set(3, "web:1")).await;
    // Someone tried a bad template first: an Event about it stays for an hour.
    deny_new_pods(&running);
    let image = |image: &'static str| {
        move |object: &mut Value| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        }
    };
    running.edit(&Collection::STATEFUL_SETS, "db", image("web:2"));
    let refused = |running: &Running| {
        running.list(&Collection::EVENTS).iter().any(|event| event["reason"] == "FailedCreate")
    };
    running.until(refused).await;
    running.edit(&Collection::STATEFUL_SETS, "db", image("web:1"));
    running.up(&target).await;
    running.cluster.api().admission().clear();
    assert_eq!(outcome(rollout(running.backend(), &target)).await, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_events_the_deadline_ends_it() {
    let target = Target::stateful_set("default", "db");
    let running = with(&target, stateful_set(3, "web:1")).await;
    deny_new_pods(&running);
    let outcome = outcome(Rollout::new(
        Running::backend_on(without_events(&running)),
        target.clone(),
        to("web:2"),
        Rolling::new(RollingConfig::default().progress_deadline(Duration::from_secs(120))).unwrap(),
    ))
    .await;
    assert_eq!(outcome.to_string(), "rolled back: no progress in time: 2 of 3 pods are there");
    assert_eq!(running.images_of(&target), ["web:1"]);
}

/// The API server for a driver that may do everything but read Events.
fn without_events(running: &Running) -> ApiServer {
    let all = ["", "apps", "discovery.k8s.io", "coordination.k8s.io", "authorization.k8s.io"];
    let role = json!({ "kind": "Role", "metadata": { "name": "deaf", "namespace": "default" }, "rules": [
        { "apiGroups": all, "resources": ["*"], "verbs": ["*"] },
    ] });
    running.cluster.api().with_authorizer(Authorizer::from_roles([&role]).unwrap())
}
