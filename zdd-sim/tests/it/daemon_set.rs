//! The DaemonSet controller: one pod per node, with and without surge.

use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{Cluster, Collection, Object, Part};

use crate::support::{Running, start, template, user};

const MINUTES: Duration = Duration::from_secs(600);

fn daemon_set(rolling: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "template": template("agent:1"),
        },
    })
}

fn is_complete(running: &Running, nodes: i64) -> bool {
    let set = running.get(&Collection::DAEMON_SETS, "agent").unwrap();
    set.int("/status/observedGeneration") == Some(set.generation())
        && ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"]
            .iter()
            .all(|key| set["status"][*key] == nodes)
}

/// Runs an update and returns the smallest and the largest number of ready pods on the way.
async fn update(rolling: &Value) -> (i64, usize) {
    let running = start(Cluster::builder().nodes(5));
    running.create(&Collection::DAEMON_SETS, daemon_set(rolling));
    running.until(MINUTES, |running| is_complete(running, 5)).await;
    // The oldest pod of a node speaks for it, and ages have whole seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.edit(&Collection::DAEMON_SETS, "agent", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2".into();
    });
    let (mut fewest, mut most) = (i64::MAX, 0);
    running
        .until(MINUTES, |running| {
            let set = running.get(&Collection::DAEMON_SETS, "agent").unwrap();
            fewest = fewest.min(set.int("/status/numberAvailable").unwrap_or_default());
            let pods = running.list(&Collection::PODS);
            most = most.max(pods.iter().filter(|pod| !pod.is_terminating()).count());
            is_complete(running, 5)
        })
        .await;
    (fewest, most)
}

#[tokio::test(start_paused = true)]
async fn without_surge_as_many_nodes_go_down_as_may_be_unavailable() {
    assert_eq!(update(&json!({"maxUnavailable": 2})).await, (3, 5));
}

#[tokio::test(start_paused = true)]
async fn with_surge_no_node_goes_down() {
    assert_eq!(update(&json!({"maxSurge": 2, "maxUnavailable": 0})).await, (5, 7));
}

#[tokio::test(start_paused = true)]
async fn a_new_node_gets_its_pod_and_a_lost_one_loses_it() {
    let running = start(Cluster::builder().nodes(1));
    running.create(&Collection::DAEMON_SETS, daemon_set(&json!({"maxUnavailable": 1})));
    running.until(MINUTES, |running| is_complete(running, 1)).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}});
    running.create(&Collection::NODES, node);
    running.until(MINUTES, |running| is_complete(running, 2)).await;
    running.cluster.with_store(|store| {
        store
            .modify(&user(), &Collection::DAEMON_SETS, Part::Main, ("default", "agent"), |set| {
                let selector = json!({"kubernetes.io/hostname": "node-1"});
                set["spec"]["template"]["spec"]["nodeSelector"] = selector;
            })
            .unwrap();
    });
    running.until(MINUTES, |running| is_complete(running, 1)).await;
}
