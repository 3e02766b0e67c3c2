//! The Deployment controller does what the real one is documented to do.

use std::fmt::Write as _;

use serde_json::json;
use zdd_sim::{Cluster, Collection, LoadSpec, Object};

use crate::support::{deployment, service, start};

/// Writes each change of a ReplicaSet's wanted size, with what all of them had ready just before.
fn scalings(cluster: &Cluster) -> String {
    cluster.with_store(|store| {
        let mut text = String::new();
        for entry in store.since(1).unwrap() {
            if entry.collection != Collection::REPLICA_SETS {
                continue;
            }
            let size = entry.object.int("/spec/replicas");
            let before = entry.before.as_ref().and_then(|before| before.int("/spec/replicas"));
            if size != before {
                let revision = entry.object.annotation("deployment.kubernetes.io/revision");
                let (from, to) = (before.unwrap_or_default(), size.unwrap_or_default());
                writeln!(text, "rev {}: {from} -> {to}", revision.unwrap()).unwrap();
            }
        }
        text
    })
}

#[tokio::test(start_paused = true)]
async fn ten_replicas_roll_with_a_quarter_each_way() {
    let running = start(Cluster::builder());
    running.create(&Collection::DEPLOYMENTS, deployment(10, "web:1"));
    running.complete("web").await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    });
    running.complete("web").await;
    let text = scalings(&running.cluster);
    assert!(
        text.starts_with("rev 1: 0 -> 10\nrev 2: 0 -> 3\nrev 1: 10 -> 8\nrev 2: 3 -> 5\n"),
        "{text}"
    );
    assert!(text.ends_with("rev 1: 1 -> 0\n") || text.ends_with("rev 1: 2 -> 0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_request_fails_when_pods_drain_and_nothing_may_be_unavailable() {
    let running = start(Cluster::builder().seed(3));
    running.create(&Collection::SERVICES, service());
    let mut object = deployment(6, "web:1");
    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}});
    running.create(&Collection::DEPLOYMENTS, object);
    running.complete("web").await;
    let mut routes = running.cluster.routes();
    routes
        .wait_for(|routes| {
            routes.backends("default", "web").is_some_and(|backends| backends.usable.len() == 6)
        })
        .await
        .unwrap();
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 1000));
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    });
    running.complete("web").await;
    let counts = traffic.counts();
    assert!(counts.sent > 0);
    assert_eq!(counts.failed, 0, "{counts:?}");
    assert_eq!(counts.revisions.len(), 2, "{counts:?}");
}
