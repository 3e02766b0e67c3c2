//! The Deployment controller does what the real one is documented to do.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{
    Admission, Behaviour, Cluster, ClusterBuilder, Collection, Controller, Images, Latencies,
    Object, Span, Store,
};

use crate::support::{Running, deployment, is_complete, start};

const MINUTES: Duration = Duration::from_secs(600);
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Starts a Deployment of version 1 and waits for it; `edit` completes its object.
async fn deployed(
    builder: ClusterBuilder,
    replicas: i64,
    edit: impl FnOnce(&mut Value),
) -> Running {
    let running = start(builder);
    let mut object = deployment(replicas, "web:1");
    edit(&mut object);
    running.create(&Collection::DEPLOYMENTS, object);
    running.complete("web").await;
    running
}

fn set(running: &Running, pointer: &str, value: impl Into<Value>) {
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        *object.pointer_mut(pointer).unwrap() = value.into();
    });
}

fn set_image(running: &Running, image: &str) {
    set(running, "/spec/template/spec/containers/0/image", image);
}

fn strategy(surge: impl Into<Value>, unavailable: impl Into<Value>) -> impl FnOnce(&mut Value) {
    let rolling = json!({"maxSurge": surge.into(), "maxUnavailable": unavailable.into()});
    move |object| object["spec"]["strategy"] = json!({"rollingUpdate": rolling})
}

/// Writes each change of a ReplicaSet's wanted size since a revision.
fn scalings(running: &Running, since: u64) -> String {
    running.cluster.with_store(|store| {
        let mut text = String::new();
        for entry in store.since(since).unwrap() {
            if entry.collection != Collection::REPLICA_SETS {
                continue;
            }
            let size = entry.object.int("/spec/replicas");
            let before = entry.before.as_ref().and_then(|before| before.int("/spec/replicas"));
            // A ReplicaSet that begins without pods is no scaling.
            if size.unwrap_or_default() != before.unwrap_or_default() {
                let revision = entry.object.annotation(REVISION).unwrap();
                let (from, to) = (before.unwrap_or_default(), size.unwrap_or_default());
                writeln!(text, "rev {revision}: {from} -> {to}").unwrap();
            }
        }
        text
    })
}

/// Returns the smallest number of available and the largest number of wanted pods since a
/// revision, as the statuses and sizes of all ReplicaSets had them.
fn extremes(running: &Running, since: u64) -> (i64, i64) {
    let mut sets = std::collections::BTreeMap::new();
    let (mut fewest, mut most) = (i64::MAX, 0);
    running.cluster.with_store(|store| {
        for entry in store.since(1).unwrap() {
            if entry.collection != Collection::REPLICA_SETS {
                continue;
            }
            let count = |pointer| entry.object.int(pointer).unwrap_or_default();
            let counts = (count("/status/availableReplicas"), count("/spec/replicas"));
            sets.insert(entry.object.name().to_owned(), counts);
            if entry.revision > since {
                fewest = fewest.min(sets.values().map(|(available, _)| available).sum());
                most = most.max(sets.values().map(|(_, wanted)| wanted).sum());
            }
        }
    });
    (fewest, most)
}

fn revision(running: &Running) -> u64 {
    running.cluster.with_store(|store| store.revision())
}

fn condition(running: &Running, kind: &str) -> Value {
    let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|c| c["type"] == kind).cloned().unwrap_or_default()
}

/// Pods that are ready at the same time, so that sequences are those of the arithmetic alone.
fn in_lockstep() -> ClusterBuilder {
    Cluster::builder().latencies(Latencies::none())
}

#[tokio::test(start_paused = true)]
async fn ten_replicas_roll_with_a_quarter_each_way() {
    let running = deployed(in_lockstep(), 10, |_| {}).await;
    let since = revision(&running);
    set_image(&running, "web:2");
    running.complete("web").await;
    let text = scalings(&running, since);
    assert!(text.starts_with("rev 2: 0 -> 3\nrev 1: 10 -> 8\nrev 2: 3 -> 5\n"), "{text}");
    assert_eq!(extremes(&running, since), (8, 13));
}

#[tokio::test(start_paused = true)]
async fn six_replicas_with_surge_two_and_none_unavailable() {
    let running = deployed(in_lockstep(), 6, strategy(2, 0)).await;
    let since = revision(&running);
    set_image(&running, "web:2");
    running.complete("web").await;
    insta::assert_snapshot!(scalings(&running, since), @"
    rev 2: 0 -> 2
    rev 1: 6 -> 4
    rev 2: 2 -> 4
    rev 1: 4 -> 2
    rev 2: 4 -> 6
    rev 1: 2 -> 0
    ");
    assert_eq!(extremes(&running, since), (6, 8));
}

#[tokio::test(start_paused = true)]
async fn without_surge_old_pods_go_first() {
    let running = deployed(in_lockstep(), 4, strategy(0, 1)).await;
    let since = revision(&running);
    set_image(&running, "web:2");
    running.complete("web").await;
    insta::assert_snapshot!(scalings(&running, since), @"
    rev 1: 4 -> 3
    rev 2: 0 -> 1
    rev 1: 3 -> 2
    rev 2: 1 -> 2
    rev 1: 2 -> 1
    rev 2: 2 -> 3
    rev 1: 1 -> 0
    rev 2: 3 -> 4
    ");
    assert_eq!(extremes(&running, since), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn limits_hold_for_any_seed_and_any_delay() {
    for seed in 0..20 {
        let behaviour = Behaviour::default().ready_after(Span::millis(50..=3000));
        let images = Images::new().with("web:1", behaviour).with("web:2", behaviour);
        let builder = Cluster::builder().seed(seed).images(images);
        let running = deployed(builder, 7, strategy("30%", "20%")).await;
        let since = revision(&running);
        set_image(&running, "web:2");
        running.complete("web").await;
        let (fewest, most) = extremes(&running, since);
        assert!(fewest >= 6 && most <= 10, "seed {seed}: {fewest} {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_history() {
    let mut histories = Vec::new();
    for seed in [5, 5, 6] {
        let running = deployed(Cluster::builder().seed(seed), 5, |_| {}).await;
        set_image(&running, "web:2");
        running.complete("web").await;
        let history: Vec<_> = running.cluster.with_store(|store| {
            let entries = store.since(1).unwrap();
            entries.map(|entry| (entry.revision, entry.object.to_string())).collect()
        });
        histories.push(history);
    }
    assert!(histories[0] == histories[1], "two runs of one seed differ");
    assert!(histories[0] != histories[2], "two seeds give the same history");
}

#[tokio::test(start_paused = true)]
async fn recreate_waits_for_the_last_old_pod() {
    let recreate = |object: &mut Value| object["spec"]["strategy"] = json!({"type": "Recreate"});
    let running = deployed(Cluster::builder(), 3, recreate).await;
    set_image(&running, "web:2");
    let mut versions = 0;
    running
        .until(MINUTES, |running| {
            let pods = running.list(&Collection::PODS);
            let images: std::collections::BTreeSet<_> =
                pods.iter().map(|pod| pod.text("/spec/containers/0/image").unwrap()).collect();
            versions = versions.max(images.len());
            is_complete(&running.get(&Collection::DEPLOYMENTS, "web").unwrap())
        })
        .await;
    assert_eq!(versions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_return_to_an_old_template_uses_its_replica_set_again() {
    let running = deployed(Cluster::builder(), 2, |_| {}).await;
    set_image(&running, "web:2");
    running.complete("web").await;
    set_image(&running, "web:1");
    running.complete("web").await;
    let sets = running.list(&Collection::REPLICA_SETS);
    assert_eq!(sets.len(), 2);
    let current = sets.iter().find(|set| set.int("/spec/replicas") == Some(2)).unwrap();
    assert_eq!(current.text("/spec/template/spec/containers/0/image"), Some("web:1"));
    assert_eq!(current.annotation(REVISION), Some("3"));
    assert_eq!(current.annotation("deployment.kubernetes.io/revision-history"), Some("1"));
    let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
    assert_eq!(object.annotation(REVISION), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn old_replica_sets_are_removed_beyond_the_history_limit() {
    for (limit, left) in [(0, 1), (2, 3)] {
        let keep = |object: &mut Value| object["spec"]["revisionHistoryLimit"] = limit.into();
        let running = deployed(Cluster::builder(), 1, keep).await;
        for version in 2..=5 {
            set_image(&running, &format!("web:{version}"));
            running.complete("web").await;
        }
        running
            .until(MINUTES, |running| running.list(&Collection::REPLICA_SETS).len() == left)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_scale_in_the_middle_keeps_the_share_of_both_versions() {
    let images = Images::any().with("web:2", Behaviour::never_ready());
    let running = deployed(in_lockstep().images(images), 10, strategy(3, 2)).await;
    set_image(&running, "web:2");
    running.until(MINUTES, |running| scalings(running, 1).contains("rev 2: 3 -> 5")).await;
    let since = revision(&running);
    set(&running, "/spec/replicas", 15);
    running.until(MINUTES, |running| running.list(&Collection::PODS).len() >= 18).await;
    // The documentation's own example: 8 + 5 of 13 become 11 + 7 of 18.
    insta::assert_snapshot!(scalings(&running, since), @"
    rev 1: 8 -> 11
    rev 2: 5 -> 7
    ");
}

/// Seen of Kubernetes 1.37.1 too (docs/decisions/021): the new ReplicaSet is to lose a pod, its
/// status still counts it, and an old one is taken away in its stead as well.
#[tokio::test(start_paused = true)]
async fn a_scale_down_in_the_middle_counts_pods_that_are_about_to_go() {
    let running = deployed(in_lockstep(), 4, strategy(1, 0)).await;
    set_image(&running, "web:2");
    running.until(MINUTES, |running| scalings(running, 1).contains("rev 2: 2 -> 3")).await;
    running.cluster.pause(Controller::Deployment);
    let available = |running: &Running| {
        let sets = running.list(&Collection::REPLICA_SETS);
        sets.iter().filter_map(|set| set.int("/status/availableReplicas")).sum::<i64>()
    };
    running.until(MINUTES, |running| available(running) == 5).await;
    running.cluster.pause(Controller::ReplicaSet);
    let since = revision(&running);
    set(&running, "/spec/replicas", 3);
    running.cluster.resume(Controller::Deployment);
    running.until(MINUTES, |running| scalings(running, since).contains("rev 2: 2 -> 3")).await;
    insta::assert_snapshot!(scalings(&running, since), @"
    rev 2: 3 -> 2
    rev 1: 2 -> 0
    rev 2: 2 -> 3
    ");
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let running = deployed(Cluster::builder(), 2, |object| {
        object["spec"]["paused"] = false.into();
    })
    .await;
    set(&running, "/spec/paused", true);
    set_image(&running, "web:2");
    set(&running, "/spec/replicas", 4);
    running
        .until(MINUTES, |running| {
            let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
            object.int("/status/availableReplicas") == Some(4)
        })
        .await;
    assert_eq!(running.list(&Collection::REPLICA_SETS).len(), 1);
    assert_eq!(condition(&running, "Progressing")["reason"], "DeploymentPaused");
    set(&running, "/spec/paused", false);
    running.complete("web").await;
    assert_eq!(running.list(&Collection::REPLICA_SETS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_stands_still_times_out_and_stays_available() {
    let images = Images::any().with("web:2", Behaviour::crashing());
    let running = deployed(Cluster::builder().images(images), 3, |object| {
        object["spec"]["progressDeadlineSeconds"] = 60.into();
    })
    .await;
    assert_eq!(condition(&running, "Progressing")["reason"], "NewReplicaSetAvailable");
    let begin = tokio::time::Instant::now();
    set_image(&running, "web:2");
    running
        .until(MINUTES, |running| {
            condition(running, "Progressing")["reason"] == "ProgressDeadlineExceeded"
        })
        .await;
    let seconds = begin.elapsed().as_secs();
    assert!((60..65).contains(&seconds), "{seconds}");
    let progressing = condition(&running, "Progressing");
    assert_eq!(progressing["status"], "False");
    let message = progressing["message"].as_str().unwrap();
    assert!(message.ends_with("\" has timed out progressing."), "{message}");
    assert_eq!(condition(&running, "Available")["status"], "True");
    set_image(&running, "web:1");
    running.complete("web").await;
    assert_eq!(condition(&running, "Progressing")["reason"], "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn the_conditions_of_a_rollout_follow_each_other() {
    let running = start(Cluster::builder());
    running.create(&Collection::DEPLOYMENTS, deployment(2, "web:1"));
    let mut text = String::new();
    running
        .until(MINUTES, |running| {
            let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
            let line = ["Available", "Progressing"].map(|kind| {
                let condition = condition(running, kind);
                let text = |key: &str| condition[key].as_str().unwrap_or("-").to_owned();
                format!("{kind}={} {}", text("status"), text("reason"))
            });
            let line = line.join(", ");
            if !text.ends_with(&format!("{line}\n")) {
                writeln!(text, "{line}").unwrap();
            }
            is_complete(&object) && line.contains("NewReplicaSetAvailable")
        })
        .await;
    insta::assert_snapshot!(text, @"
    Available=- -, Progressing=- -
    Available=False MinimumReplicasUnavailable, Progressing=True NewReplicaSetCreated
    Available=False MinimumReplicasUnavailable, Progressing=True ReplicaSetUpdated
    Available=True MinimumReplicasAvailable, Progressing=True NewReplicaSetAvailable
    ");
}

#[tokio::test(start_paused = true)]
async fn min_ready_seconds_hold_back_each_step() {
    let running = deployed(Cluster::builder(), 2, |object| {
        strategy(1, 0)(object);
        object["spec"]["minReadySeconds"] = 30.into();
    })
    .await;
    let begin = tokio::time::Instant::now();
    set_image(&running, "web:2");
    running.complete("web").await;
    let seconds = begin.elapsed().as_secs();
    assert!((60..75).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn unhealthy_old_pods_go_before_healthy_ones() {
    let images = Images::any().with("web:2", Behaviour::never_ready());
    let running = deployed(in_lockstep().images(images), 4, strategy(1, 1)).await;
    set_image(&running, "web:2");
    running.until(MINUTES, |running| scalings(running, 1).contains("rev 2: 1 -> 2")).await;
    let since = revision(&running);
    set_image(&running, "web:3");
    running.complete("web").await;
    let text = scalings(&running, since);
    let first = text.lines().find(|line| line.contains("-> 0")).unwrap();
    assert!(first.starts_with("rev 2:"), "{text}");
    let (fewest, _) = extremes(&running, since);
    assert_eq!(fewest, 3);
}

#[tokio::test(start_paused = true)]
async fn annotations_reach_the_replica_set_but_not_the_bookkeeping() {
    let running = deployed(Cluster::builder(), 1, |object| {
        object["metadata"]["annotations"] = json!({
            "team": "a",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        });
    })
    .await;
    let set = &running.list(&Collection::REPLICA_SETS)[0];
    let mut keys: Vec<_> =
        set["metadata"]["annotations"].as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "deployment.kubernetes.io/desired-replicas",
            "deployment.kubernetes.io/max-replicas",
            "deployment.kubernetes.io/revision",
            "team",
        ]
    );
    let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
    assert_eq!(object.generation(), 1, "the revision must not count as a generation");
}

/// A quota on pods.
#[derive(Debug)]
struct Quota(usize);

impl Admission for Quota {
    fn admit(
        &self,
        store: &Store,
        collection: &Collection,
        object: &mut Value,
    ) -> Result<(), String> {
        let used = store.list(&Collection::PODS, Some("default")).count();
        if collection == &Collection::PODS && used >= self.0 {
            let name = object.name();
            return Err(format!("pods \"{name}\" is forbidden: exceeded quota: compute"));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_shows_as_replica_failure() {
    let running = deployed(Cluster::builder().admission(Quota(3)), 3, strategy(1, 0)).await;
    set_image(&running, "web:2");
    running
        .until(MINUTES, |running| condition(running, "ReplicaFailure")["status"] == "True")
        .await;
    let failure = condition(&running, "ReplicaFailure");
    assert_eq!(failure["reason"], "FailedCreate");
    let message = failure["message"].as_str().unwrap();
    assert!(message.ends_with("is forbidden: exceeded quota: compute"), "{message}");
    set(&running, "/spec/replicas", 2);
    running.complete("web").await;
    assert_eq!(condition(&running, "ReplicaFailure"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn terminating_pods_are_counted_apart() {
    let running = deployed(in_lockstep(), 2, |_| {}).await;
    set(&running, "/spec/replicas", 1);
    let count = |running: &Running, key: &str| {
        let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
        object["status"][key].as_i64().unwrap_or_default()
    };
    running.until(MINUTES, |running| count(running, "terminatingReplicas") == 1).await;
    assert_eq!(count(&running, "replicas"), 1);
    running.until(MINUTES, |running| count(running, "terminatingReplicas") == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_changes_the_size_in_the_middle_of_a_rollout() {
    let running = deployed(Cluster::builder(), 4, strategy(1, 0)).await;
    let since = revision(&running);
    set_image(&running, "web:2");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let place = ("default", "web");
    running.cluster.autoscale(&Collection::DEPLOYMENTS, place, 6).unwrap();
    running.complete("web").await;
    let object = running.get(&Collection::DEPLOYMENTS, "web").unwrap();
    assert_eq!(object.int("/status/updatedReplicas"), Some(6));
    let (fewest, most) = extremes(&running, since);
    assert!(fewest >= 4 && most <= 7, "{fewest} {most}");
    let missing = running.cluster.autoscale(&Collection::DEPLOYMENTS, ("default", "none"), 6);
    assert!(missing.is_err());
}
