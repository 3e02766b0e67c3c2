//! ControllerRevisions: whose they are, and what happens when a name is taken.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use zdd_sim::{Cluster, Collection, Deletion, Object, Propagation};

use crate::support::{Running, start, template, user};

const MINUTES: Duration = Duration::from_secs(600);
const KINDS: [(Collection, &str, &str); 2] = [
    (Collection::DAEMON_SETS, "DaemonSet", "numberAvailable"),
    (Collection::STATEFUL_SETS, "StatefulSet", "availableReplicas"),
];

/// A set of either kind, always of the same name and template.
fn set(kind: &str) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("web:1")},
    });
    if kind == "StatefulSet" {
        set["spec"]["serviceName"] = "web".into();
    }
    set
}

fn revisions(running: &Running) -> Vec<String> {
    let all = running.list(&Collection::CONTROLLER_REVISIONS);
    all.iter().map(|revision| revision.name().to_owned()).collect()
}

async fn is_up(running: &Running, collection: &Collection, count: &str) {
    running
        .until(MINUTES, |running| {
            let set = running.get(collection, "web");
            set.is_some_and(|set| set["status"][count].as_i64().unwrap_or_default() > 0)
        })
        .await;
}

fn delete(running: &Running, collection: &Collection, propagation: Propagation) {
    let mut deletion = Deletion::default();
    deletion.propagation = propagation;
    let at = ("default", "web");
    running.cluster.with_store(|store| store.delete(&user(), collection, at, &deletion)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_and_a_stateful_set_may_share_name_and_template() {
    let running = start(Cluster::builder().nodes(2));
    for (collection, kind, _) in &KINDS {
        running.create(collection, set(kind));
    }
    for (collection, _, count) in &KINDS {
        is_up(&running, collection, count).await;
    }
    let owners: BTreeSet<String> = running
        .list(&Collection::CONTROLLER_REVISIONS)
        .iter()
        .map(|revision| revision["metadata"]["ownerReferences"][0]["kind"].to_string())
        .collect();
    assert_eq!(owners.len(), 2, "each has a revision of its own: {owners:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_revision_has_is_counted_as_a_collision() {
    for (collection, kind, count) in &KINDS {
        let running = start(Cluster::builder().nodes(2));
        running.create(collection, set(kind));
        is_up(&running, collection, count).await;
        let name = revisions(&running).remove(0);
        delete(&running, collection, Propagation::Background);
        running.until(MINUTES, |running| revisions(running).is_empty()).await;
        running.until(MINUTES, |running| running.list(&Collection::PODS).is_empty()).await;
        let stranger = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"spec": {}},
            "revision": 7,
        });
        running.create(&Collection::CONTROLLER_REVISIONS, stranger);
        running.create(collection, set(kind));
        is_up(&running, collection, count).await;
        let status = running.get(collection, "web").unwrap()["status"].clone();
        assert_eq!(status["collisionCount"], 1, "{kind}");
        assert_eq!(revisions(&running).len(), 2, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn revisions_that_were_left_behind_are_adopted() {
    for (collection, kind, count) in &KINDS {
        let running = start(Cluster::builder().nodes(2));
        running.create(collection, set(kind));
        is_up(&running, collection, count).await;
        let before = revisions(&running);
        delete(&running, collection, Propagation::Orphan);
        running.until(MINUTES, |running| running.get(collection, "web").is_none()).await;
        let uid = running.create(collection, set(kind)).uid().to_owned();
        is_up(&running, collection, count).await;
        assert_eq!(revisions(&running), before, "{kind}");
        let all = running.list(&Collection::CONTROLLER_REVISIONS);
        assert_eq!(all[0].controller_uid(), Some(&*uid), "{kind}");
    }
}
