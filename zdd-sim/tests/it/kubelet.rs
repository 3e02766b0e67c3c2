//! Pods go through the phases, reasons and times that a real kubelet shows.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use zdd_sim::{Behaviour, Cluster, Collection, Crash, Deletion, Images, Latencies, Object, Part};

use crate::support::{Running, start, template, user};

fn pod(image: &str) -> Value {
    let template = template(image);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "solo", "namespace": "default"},
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    })
}

fn quick(images: Images) -> Running {
    start(Cluster::builder().images(images).latencies(Latencies::none()))
}

/// Writes what a user of kubectl sees of the pod, each time that it changes.
async fn watch(running: &Running, time: Duration) -> String {
    let begin = Instant::now();
    let mut changed = running.cluster.with_store(|store| store.subscribe());
    let (mut text, mut last) = (String::new(), String::new());
    let watching = async {
        loop {
            let line = match running.get(&Collection::PODS, "solo") {
                Some(pod) => describe(&pod),
                None => "gone".to_owned(),
            };
            if line != last {
                writeln!(text, "{:>6.1}s {line}", begin.elapsed().as_secs_f64()).unwrap();
                last = line;
            }
            changed.changed().await.unwrap();
        }
    };
    // The watch has no end of its own.
    let _elapsed = tokio::time::timeout(time, watching).await;
    text
}

fn describe(pod: &Value) -> String {
    let container = &pod["status"]["containerStatuses"][0];
    let state = &container["state"];
    let state = match state.as_object().and_then(|state| state.iter().next()) {
        Some((kind, detail)) => match detail["reason"].as_str() {
            Some(reason) => format!("{kind} {reason}"),
            None => kind.clone(),
        },
        None => "-".to_owned(),
    };
    let ready = if container["ready"] == true { " ready" } else { "" };
    let ends = if pod.is_terminating() { " (terminating)" } else { "" };
    let restarts = container["restartCount"].as_i64().unwrap_or_default();
    let phase = pod.text("/status/phase").unwrap_or_default();
    format!("{phase} {state}{ready} restarts={restarts}{ends}")
}

fn delete(running: &Running, grace_seconds: Option<i64>) {
    running.cluster.with_store(|store| {
        let mut deletion = Deletion::default();
        deletion.grace_seconds = grace_seconds;
        store.delete(&user(), &Collection::PODS, ("default", "solo"), &deletion).unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_healthy_pod_starts_drains_and_goes() {
    let running = quick(Images::any());
    running.create(&Collection::PODS, pod("web:1"));
    let start = watch(&running, Duration::from_secs(1)).await;
    insta::assert_snapshot!(start, @"
       0.0s Pending - restarts=0
       0.0s Pending waiting ContainerCreating restarts=0
       0.1s Running running restarts=0
       0.3s Running running ready restarts=0
    ");
    delete(&running, None);
    let end = watch(&running, Duration::from_secs(60)).await;
    insta::assert_snapshot!(end, @"
       0.0s Running running ready restarts=0 (terminating)
       6.0s gone
    ");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ignores_sigterm_is_killed_when_the_grace_ends() {
    let images =
        Images::new().with("web:1", Behaviour::default().lame_duck(Duration::from_secs(99)));
    let running = quick(images);
    let mut object = pod("web:1");
    object["spec"]["terminationGracePeriodSeconds"] = 12.into();
    running.create(&Collection::PODS, object);
    watch(&running, Duration::from_secs(1)).await;
    delete(&running, None);
    let end = watch(&running, Duration::from_secs(60)).await;
    assert!(end.ends_with("12.0s gone\n"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_sleep_delays_sigterm_within_the_grace() {
    for hook in [
        json!({"sleep": {"seconds": 10}}),
        json!({"exec": {"command": ["/bin/sh", "-c", "sleep 10"]}}),
    ] {
        let running = quick(Images::any());
        let mut object = pod("web:1");
        object["spec"]["containers"][0]["lifecycle"] = json!({"preStop": hook});
        running.create(&Collection::PODS, object);
        watch(&running, Duration::from_secs(1)).await;
        delete(&running, None);
        let end = watch(&running, Duration::from_secs(60)).await;
        assert!(end.ends_with("16.0s gone\n"), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_delete_shortens_the_grace() {
    let images =
        Images::new().with("web:1", Behaviour::default().lame_duck(Duration::from_secs(99)));
    let running = quick(images);
    running.create(&Collection::PODS, pod("web:1"));
    watch(&running, Duration::from_secs(1)).await;
    delete(&running, Some(60));
    watch(&running, Duration::from_secs(5)).await;
    delete(&running, Some(2));
    let end = watch(&running, Duration::from_secs(60)).await;
    assert!(end.ends_with("2.0s gone\n"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_backs_off_from_ten_seconds_to_five_minutes() {
    let running = quick(Images::new().with("web:1", Behaviour::crashing()));
    running.create(&Collection::PODS, pod("web:1"));
    let text = watch(&running, Duration::from_secs(1200)).await;
    insta::assert_snapshot!(text, @"
      0.0s Pending - restarts=0
      0.0s Pending waiting ContainerCreating restarts=0
      0.1s Running terminated Error restarts=0
      0.2s Running waiting CrashLoopBackOff restarts=1
     10.3s Running waiting CrashLoopBackOff restarts=2
     30.4s Running waiting CrashLoopBackOff restarts=3
     70.5s Running waiting CrashLoopBackOff restarts=4
    150.6s Running waiting CrashLoopBackOff restarts=5
    310.7s Running waiting CrashLoopBackOff restarts=6
    610.8s Running waiting CrashLoopBackOff restarts=7
    910.9s Running waiting CrashLoopBackOff restarts=8
    ");
    let solo = running.get(&Collection::PODS, "solo").unwrap();
    let container = &solo["status"]["containerStatuses"][0];
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    let message = container["state"]["waiting"]["message"].as_str().unwrap();
    let uid = solo.uid();
    assert_eq!(
        message,
        format!("back-off 5m0s restarting failed container=app pod=solo_default({uid})")
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_twice_heals() {
    let images = Images::new().with("web:1", Behaviour::default().crash(Crash::FirstRuns(2)));
    let running = quick(images);
    running.create(&Collection::PODS, pod("web:1"));
    let text = watch(&running, Duration::from_secs(60)).await;
    assert!(text.ends_with("Running running ready restarts=2\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_shows_the_error_first_and_then_the_back_off() {
    let running = quick(Images::new());
    running.create(&Collection::PODS, pod("web:1"));
    let text = watch(&running, Duration::from_secs(90)).await;
    insta::assert_snapshot!(text, @"
     0.0s Pending - restarts=0
     0.0s Pending waiting ErrImagePull restarts=0
    10.0s Pending waiting ImagePullBackOff restarts=0
    20.0s Pending waiting ErrImagePull restarts=0
    30.0s Pending waiting ImagePullBackOff restarts=0
    40.0s Pending waiting ErrImagePull restarts=0
    50.0s Pending waiting ImagePullBackOff restarts=0
    70.0s Pending waiting ErrImagePull restarts=0
    80.0s Pending waiting ImagePullBackOff restarts=0
    ");
    running.cluster.push_image("web:1", Behaviour::default());
    let text = watch(&running, Duration::from_secs(300)).await;
    assert!(text.ends_with("Running running ready restarts=0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_waited_for() {
    let running = quick(Images::any());
    let mut object = pod("web:1");
    object["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    running.create(&Collection::PODS, object);
    let text = watch(&running, Duration::from_secs(5)).await;
    assert!(text.ends_with("Pending waiting CreateContainerConfigError restarts=0\n"), "{text}");
    let solo = running.get(&Collection::PODS, "solo").unwrap();
    let waiting = &solo["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "configmap \"settings\" not found");
    let settings = json!({"metadata": {"name": "settings", "namespace": "default"}});
    running.create(&Collection::CONFIG_MAPS, settings);
    let text = watch(&running, Duration::from_secs(30)).await;
    assert!(text.ends_with("Running running ready restarts=0\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_readiness_gate_keeps_the_pod_unready_until_someone_opens_it() {
    let running = quick(Images::any());
    let mut object = pod("web:1");
    object["spec"]["readinessGates"] = json!([{"conditionType": "example.com/lb"}]);
    running.create(&Collection::PODS, object);
    watch(&running, Duration::from_secs(5)).await;
    let condition = |kind: &str| {
        let solo = running.get(&Collection::PODS, "solo").unwrap();
        let conditions = solo["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|c| c["type"] == kind).cloned().unwrap()
    };
    assert_eq!(condition("ContainersReady")["status"], "True");
    assert_eq!(condition("Ready")["status"], "False");
    assert_eq!(condition("Ready")["reason"], "ReadinessGatesNotReady");
    running.cluster.with_store(|store| {
        store
            .modify(&user(), &Collection::PODS, Part::Status, ("default", "solo"), |pod| {
                let gate = json!({"type": "example.com/lb", "status": "True"});
                pod["status"]["conditions"].as_array_mut().unwrap().push(gate);
            })
            .unwrap();
    });
    watch(&running, Duration::from_secs(5)).await;
    assert_eq!(condition("Ready")["status"], "True");
    assert_eq!(condition("example.com/lb")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_node_is_unschedulable_until_there_is_one() {
    let running = quick(Images::any());
    running.cluster.refuse_pods("0/3 nodes are available: 3 Insufficient cpu.");
    running.create(&Collection::PODS, pod("web:1"));
    watch(&running, Duration::from_secs(5)).await;
    let solo = running.get(&Collection::PODS, "solo").unwrap();
    let scheduled = &solo["status"]["conditions"][0];
    assert_eq!(scheduled["reason"], "Unschedulable");
    assert_eq!(scheduled["message"], "0/3 nodes are available: 3 Insufficient cpu.");
    running.cluster.accept_pods();
    let text = watch(&running, Duration::from_secs(5)).await;
    assert!(text.ends_with("Running running ready restarts=0\n"), "{text}");
}
