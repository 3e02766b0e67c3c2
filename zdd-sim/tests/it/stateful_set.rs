//! The StatefulSet controller: order, partitions, and the pod that blocks.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{Behaviour, Change, Cluster, Collection, Deletion, Images, Object};

use crate::support::{Running, start, template, user};

const MINUTES: Duration = Duration::from_secs(600);

fn stateful_set(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
        },
    })
}

fn status(running: &Running, key: &str) -> i64 {
    let set = running.get(&Collection::STATEFUL_SETS, "db").unwrap();
    set["status"][key].as_i64().unwrap_or_default()
}

fn is_updated(running: &Running) -> bool {
    let set = running.get(&Collection::STATEFUL_SETS, "db").unwrap();
    let status = &set["status"];
    set.int("/status/observedGeneration") == Some(set.generation())
        && status["currentRevision"] == status["updateRevision"]
        && status["readyReplicas"] == set["spec"]["replicas"]
}

fn set_image(running: &Running, image: &str) {
    running.edit(&Collection::STATEFUL_SETS, "db", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    });
}

/// The births, readiness and ends of pods since a revision.
fn story(running: &Running, since: u64) -> String {
    running.cluster.with_store(|store| {
        let mut text = String::new();
        for entry in store.since(since).unwrap() {
            if entry.collection != Collection::PODS {
                continue;
            }
            let is_ready = |pod: &Value| {
                let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
            };
            let name = entry.object.name();
            let before = entry.before.as_deref();
            match entry.change {
                Change::Added => writeln!(text, "{name} created").unwrap(),
                Change::Deleted => writeln!(text, "{name} gone").unwrap(),
                Change::Modified => {
                    if is_ready(&entry.object) && !before.is_some_and(is_ready) {
                        writeln!(text, "{name} ready").unwrap();
                    }
                }
            }
        }
        text
    })
}

fn revision(running: &Running) -> u64 {
    running.cluster.with_store(|store| store.revision())
}

#[tokio::test(start_paused = true)]
async fn pods_come_one_by_one_and_are_replaced_from_the_highest_ordinal() {
    let running = start(Cluster::builder());
    running.create(&Collection::STATEFUL_SETS, stateful_set(3, "db:1"));
    running.until(MINUTES, is_updated).await;
    insta::assert_snapshot!(story(&running, 1), @"
    db-0 created
    db-0 ready
    db-1 created
    db-1 ready
    db-2 created
    db-2 ready
    ");
    let since = revision(&running);
    set_image(&running, "db:2");
    running.until(MINUTES, |running| status(running, "updatedReplicas") == 1).await;
    running.until(MINUTES, is_updated).await;
    insta::assert_snapshot!(story(&running, since), @"
    db-2 gone
    db-2 created
    db-2 ready
    db-1 gone
    db-1 created
    db-1 ready
    db-0 gone
    db-0 created
    db-0 ready
    ");
    assert_eq!(running.list(&Collection::CONTROLLER_REVISIONS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_keeps_lower_ordinals_on_the_old_revision() {
    let running = start(Cluster::builder());
    let mut set = stateful_set(4, "db:1");
    set["spec"]["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 3}});
    running.create(&Collection::STATEFUL_SETS, set);
    running.until(MINUTES, |running| status(running, "readyReplicas") == 4).await;
    set_image(&running, "db:2");
    running
        .until(MINUTES, |running| {
            status(running, "updatedReplicas") == 1 && status(running, "readyReplicas") == 4
        })
        .await;
    // A pod below the partition that is lost comes back as it was.
    running.cluster.with_store(|store| {
        let place = ("default", "db-0");
        store.delete(&user(), &Collection::PODS, place, &Deletion::default()).unwrap();
    });
    running.until(MINUTES, |running| status(running, "readyReplicas") == 3).await;
    running.until(MINUTES, |running| status(running, "readyReplicas") == 4).await;
    let images: Vec<_> = running
        .list(&Collection::PODS)
        .iter()
        .map(|pod| pod.text("/spec/containers/0/image").unwrap().to_owned())
        .collect();
    assert_eq!(images, ["db:1", "db:1", "db:1", "db:2"]);
    let set = running.get(&Collection::STATEFUL_SETS, "db").unwrap();
    assert_ne!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_pod_blocks_also_the_way_back_until_it_is_deleted() {
    let images = Images::any().with("db:bad", Behaviour::never_ready());
    let running = start(Cluster::builder().images(images));
    running.create(&Collection::STATEFUL_SETS, stateful_set(2, "db:1"));
    running.until(MINUTES, is_updated).await;
    set_image(&running, "db:bad");
    running.until(MINUTES, |running| status(running, "updatedReplicas") == 1).await;
    set_image(&running, "db:1");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let pod = running.get(&Collection::PODS, "db-1").unwrap();
    assert_eq!(pod.text("/spec/containers/0/image"), Some("db:bad"));
    running.cluster.with_store(|store| {
        let place = ("default", "db-1");
        store.delete(&user(), &Collection::PODS, place, &Deletion::default()).unwrap();
    });
    running.until(MINUTES, is_updated).await;
    assert_eq!(running.list(&Collection::CONTROLLER_REVISIONS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn parallel_sets_create_all_pods_at_once_and_scale_down_from_the_top() {
    let running = start(Cluster::builder());
    let mut set = stateful_set(3, "db:1");
    set["spec"]["podManagementPolicy"] = "Parallel".into();
    running.create(&Collection::STATEFUL_SETS, set);
    running.until(MINUTES, is_updated).await;
    assert!(story(&running, 1).starts_with("db-0 created\ndb-1 created\ndb-2 created\n"));
    running.edit(&Collection::STATEFUL_SETS, "db", |object| {
        object["spec"]["replicas"] = 1.into();
    });
    running.until(MINUTES, |running| running.list(&Collection::PODS).len() == 1).await;
    assert_eq!(running.list(&Collection::PODS)[0].name(), "db-0");
}
