//! Single real pods in a cluster: what the kubelet makes of what happens to their processes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use zdd_sim::{Cluster, Collection, Deletion, Image, Images, Object, ProcessImage};

use crate::process::{Scratch, dies, is_alive, shell};
use crate::support::{Running, start, user};

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster with one pod.
struct World(Running);

impl World {
    fn new(image: impl Into<Image>, mut container: Value) -> Self {
        let images = Images::new().with("app:1", image);
        let running = start(Cluster::builder().images(images));
        container["name"] = "app".into();
        container["image"] = "app:1".into();
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "solo", "namespace": "default"},
            "spec": {"containers": [container]},
        });
        running.create(&Collection::PODS, pod);
        Self(running)
    }

    /// Waits until the container's status fulfils a condition, and returns it.
    async fn status(&self, done: impl Fn(&Value) -> bool) -> Value {
        let of = |running: &Running| {
            let pod = running.get(&Collection::PODS, "solo");
            pod.map(|pod| pod["status"]["containerStatuses"][0].clone()).unwrap_or_default()
        };
        self.0.until(LIMIT, |running| done(&of(running))).await;
        of(&self.0)
    }

    async fn is_ready(&self) {
        self.status(|status| status["ready"] == true).await;
    }

    /// Waits for the first line of output.
    async fn line(&self) -> String {
        let wait = async {
            loop {
                let lines = self.0.cluster.logs("default", "solo", "app").unwrap_or_default();
                if let Some(line) = lines.into_iter().next() {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }

    fn delete(&self, grace: Option<i64>) {
        let mut deletion = Deletion::default();
        deletion.grace_seconds = grace;
        let place = ("default", "solo");
        self.0
            .cluster
            .with_store(|store| store.delete(&user(), &Collection::PODS, place, &deletion))
            .unwrap();
    }

    async fn is_gone(&self) {
        self.0.until(LIMIT, |running| running.get(&Collection::PODS, "solo").is_none()).await;
    }

    fn events(&self) -> Vec<(String, String)> {
        let text = |event: &Arc<Value>, key: &str| event[key].as_str().unwrap().to_owned();
        let events = self.0.list(&Collection::EVENTS);
        events.iter().map(|event| (text(event, "reason"), text(event, "message"))).collect()
    }
}

#[tokio::test]
async fn a_process_that_keeps_crashing_is_backed_off_with_its_exit_code() {
    let world = World::new(shell("exit 3"), json!({}));
    let status =
        world.status(|status| status["state"]["waiting"]["reason"] == "CrashLoopBackOff").await;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    assert!(status.int("/restartCount").unwrap() >= 1);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named_in_the_status() {
    let world = World::new(ProcessImage::new("/no/such/program"), json!({}));
    let status = world.status(|status| !status["state"]["waiting"]["message"].is_null()).await;
    let waiting = &status["state"]["waiting"];
    assert_eq!(waiting["reason"], "RunContainerError");
    let message = waiting["message"].as_str().unwrap();
    assert!(message.starts_with("failed to start /no/such/program: No such file"), "{message}");
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_the_container_and_says_why() {
    let liveness = json!({
        "exec": {"command": ["/bin/sh", "-c", "echo sick; exit 1"]},
        "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 1,
    });
    let world = World::new(shell("exec sleep 1000"), json!({"livenessProbe": liveness}));
    let status = world.status(|status| status["restartCount"] == 1).await;
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 143);
    let events = world.events();
    let has =
        |reason: &str, message: &str| events.contains(&(reason.to_owned(), message.to_owned()));
    assert!(has("Unhealthy", "Liveness probe failed: exit status: 1: sick"), "{events:?}");
    let killing = "Container app failed liveness probe, will be restarted";
    assert!(has("Killing", killing), "{events:?}");
}

#[tokio::test]
async fn pre_stop_is_run_once_and_waited_for_once() {
    let scratch = Scratch::new("kubelet-prestop");
    let hook = format!("echo ran >> {}; sleep 1", scratch.file("hook"));
    let lifecycle = json!({"preStop": {"exec": {"command": ["/bin/sh", "-c", hook]}}});
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let world = World::new(shell(script), json!({"lifecycle": lifecycle}));
    world.is_ready().await;
    world.line().await;
    let from = Instant::now();
    world.delete(None);
    world.is_gone().await;
    let took = from.elapsed();
    assert!((1_000..1_900).contains(&took.as_millis()), "{took:?}");
    assert_eq!(std::fs::read_to_string(scratch.file("hook")).unwrap(), "ran\n");
}

#[tokio::test]
async fn a_pod_removed_by_force_leaves_no_process() {
    let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    let world = World::new(shell(script), json!({}));
    world.is_ready().await;
    let pid = world.line().await;
    assert!(is_alive(&pid));
    world.delete(Some(0));
    world.is_gone().await;
    dies(&pid).await;
}

#[tokio::test]
async fn dropping_the_cluster_ends_its_processes() {
    let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
    let world = World::new(shell(script), json!({}));
    world.is_ready().await;
    let pid = world.line().await;
    drop(world);
    dies(&pid).await;
}

#[tokio::test]
async fn clusters_side_by_side_may_use_the_same_port() {
    let serve = || {
        let container = json!({
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 1},
        });
        World::new(crate::web::service_image("1"), container)
    };
    let (one, two) = (serve(), serve());
    one.is_ready().await;
    two.is_ready().await;
    let ip = |world: &World| {
        let pod = world.0.get(&Collection::PODS, "solo").unwrap();
        pod.text("/status/podIP").unwrap().to_owned()
    };
    assert_ne!(ip(&one), ip(&two));
}
