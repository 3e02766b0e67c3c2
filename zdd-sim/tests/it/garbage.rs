//! What becomes of objects whose owner is deleted.

use std::time::Duration;

use serde_json::Value;
use zdd_sim::{Cluster, Collection, Deletion, Object, Propagation};

use crate::support::{Running, deployment, start, user};

const MINUTES: Duration = Duration::from_secs(600);

async fn deleted(propagation: Propagation) -> Running {
    let running = start(Cluster::builder());
    running.create(&Collection::DEPLOYMENTS, deployment(3, "web:1"));
    running.complete("web").await;
    running.cluster.with_store(|store| {
        let mut deletion = Deletion::default();
        deletion.propagation = propagation;
        let place = ("default", "web");
        store.delete(&user(), &Collection::DEPLOYMENTS, place, &deletion).unwrap();
    });
    running
}

fn count(running: &Running, collection: &Collection) -> usize {
    running.list(collection).len()
}

#[tokio::test(start_paused = true)]
async fn background_removes_the_owner_first() {
    let running = deleted(Propagation::Background).await;
    assert_eq!(count(&running, &Collection::DEPLOYMENTS), 0);
    assert_eq!(count(&running, &Collection::PODS), 3);
    running.until(MINUTES, |running| count(running, &Collection::PODS) == 0).await;
    assert_eq!(count(&running, &Collection::REPLICA_SETS), 0);
}

#[tokio::test(start_paused = true)]
async fn foreground_removes_the_owner_last() {
    let running = deleted(Propagation::Foreground).await;
    let mut order = Vec::new();
    running
        .until(MINUTES, |running| {
            for collection in [Collection::PODS, Collection::REPLICA_SETS, Collection::DEPLOYMENTS]
            {
                if count(running, &collection) == 0 && !order.contains(&collection) {
                    order.push(collection);
                }
            }
            count(running, &Collection::DEPLOYMENTS) == 0
        })
        .await;
    assert_eq!(order, [Collection::PODS, Collection::REPLICA_SETS, Collection::DEPLOYMENTS]);
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_are_adopted_again() {
    let running = deleted(Propagation::Orphan).await;
    running.until(MINUTES, |running| count(running, &Collection::DEPLOYMENTS) == 0).await;
    let uids = |running: &Running| -> Vec<String> {
        running.list(&Collection::PODS).iter().map(|pod| pod.uid().to_owned()).collect()
    };
    let before = uids(&running);
    running.create(&Collection::DEPLOYMENTS, deployment(3, "web:1"));
    running.complete("web").await;
    assert_eq!(uids(&running), before);
    let sets = running.list(&Collection::REPLICA_SETS);
    let owners: Vec<&Value> = sets.iter().map(|set| &set["metadata"]["ownerReferences"]).collect();
    assert_eq!(owners.len(), 1);
    assert_eq!(owners[0].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn objects_outside_of_any_namespace_object_are_left_alone() {
    let running = start(Cluster::builder());
    for name in ["a", "b"] {
        let map = serde_json::json!({"metadata": {"name": name, "namespace": "shop"}});
        running.create(&Collection::CONFIG_MAPS, map);
    }
    running.cluster.with_store(|store| {
        let place = ("shop", "a");
        store.delete(&user(), &Collection::CONFIG_MAPS, place, &Deletion::default()).unwrap();
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = running
        .cluster
        .with_store(|store| store.list(&Collection::CONFIG_MAPS, Some("shop")).count());
    assert_eq!(left, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_takes_its_objects_along() {
    let running = start(Cluster::builder());
    running.create(&Collection::DEPLOYMENTS, deployment(2, "web:1"));
    running.complete("web").await;
    running.cluster.with_store(|store| {
        let place = ("", "default");
        store.delete(&user(), &Collection::NAMESPACES, place, &Deletion::default()).unwrap();
    });
    running
        .until(MINUTES, |running| {
            running.cluster.with_store(|store| {
                let all: Vec<_> = store.collections().cloned().collect();
                let mut left = all.iter().flat_map(|all| store.list(all, Some("default")));
                left.all(|object| object.namespace() != "default")
            })
        })
        .await;
}
