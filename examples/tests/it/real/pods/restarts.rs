//! Pods that are replaced, and containers that are restarted, under load.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use zdd_load::Mode;
use zdd_testbed::{Component, Signal};

use super::namespace::{Namespace, container, deployment, end};

/// How often the Deployment is restarted.
const RESTARTS: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn twenty_rolling_restarts_under_all_kinds_of_load_lose_no_request() {
    let namespace = Namespace::new("restarts", 30_301, "Cluster");
    // Half of the default, so that twenty of them take two minutes and not four.
    let env = [("ZDD_SHUTDOWN_LAME_DUCK_MIN", "2s"), ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "10s")];
    namespace.apply(&deployment("web", 2, &container(&env)));
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    namespace.reachable().await;
    let loads = [
        ("keep-alive", namespace.load(700, Mode::KeepAlive)),
        ("fresh", namespace.load(400, Mode::Fresh)),
        ("HTTP/2", namespace.load(500, Mode::Http2 { streams: 10 }).connections(4)),
        ("gRPC", namespace.grpc(400).connections(4)),
    ];
    let loads = loads.map(|(name, load)| (name, load.start().unwrap()));
    for _ in 0..RESTARTS {
        tokio::task::block_in_place(|| {
            namespace.kubectl(&["rollout", "restart", "deployment/web"]);
            namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
        });
    }
    // Until the last old pod is gone.
    namespace.until("pods", |pods| pods["items"].as_array().unwrap().len() == 2).await;
    for (name, load) in loads {
        let report = load.stop().await;
        assert!(report.sent > 10_000, "{name}: {report}");
        assert_eq!(report.failed, 0, "{name}: {report}");
    }
}

/// A probe's answer that the test decides on, asked for by the kubelet.
fn health() -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let healthy = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&healthy);
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let status = if answer.load(Ordering::Relaxed) { "200 OK" } else { "500 Sick" };
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (port, healthy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn a_restart_by_the_liveness_probe_moves_traffic_by_readiness_and_fails_no_request() {
    let namespace = Namespace::new("liveness", 30_302, "Cluster");
    let (port, healthy) = health();
    let mut sick = container(&[]);
    sick["livenessProbe"] = json!({
        "httpGet": { "host": "127.0.0.1", "path": "/", "port": port },
        "periodSeconds": 1, "failureThreshold": 1,
    });
    namespace.apply(&deployment("steady", 1, &container(&[])));
    namespace.apply(&deployment("sick", 1, &sick));
    for name in ["deployment/steady", "deployment/sick"] {
        namespace.kubectl(&["rollout", "status", name, "--timeout=120s"]);
    }
    namespace.reachable().await;
    let loads =
        [Mode::KeepAlive, Mode::Fresh].map(|mode| namespace.load(300, mode).start().unwrap());
    healthy.store(false, Ordering::Relaxed);
    let sick = |pods: &serde_json::Value| {
        let pods = pods["items"].as_array().unwrap();
        let pod = pods.iter().find(|pod| pod["metadata"]["labels"]["deployment"] == "sick");
        pod.unwrap()["status"]["containerStatuses"][0].clone()
    };
    let stopped = |pods: &serde_json::Value| {
        let status = sick(pods);
        status["restartCount"] == 1 || !status["state"]["terminated"].is_null()
    };
    namespace.until("pods", stopped).await;
    healthy.store(true, Ordering::Relaxed);
    let pods = namespace
        .until("pods", |pods| sick(pods)["restartCount"] == 1 && sick(pods)["ready"] == true)
        .await;
    // It was asked to end and did, in order: nobody had to kill it.
    let ended = &sick(&pods)["lastState"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")), "{ended}");
    // What is sent to the container that serves again counts too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for load in loads {
        let report = load.stop().await;
        assert!(report.sent > 1_000, "{report}");
        assert_eq!(report.failed, 0, "{report}");
    }
}

/// Returns how often a kubelet said that it asks a pod to end.
fn signals(namespace: &Namespace, pod: &str) -> u64 {
    let of = format!("involvedObject.name={pod},reason=Killing");
    let events = namespace.kubectl(&["get", "events", "--field-selector", &of, "-o", "json"]);
    let events: serde_json::Value = serde_json::from_str(&events).unwrap();
    let events = events["items"].as_array().unwrap();
    events.iter().map(|event| event["count"].as_u64().unwrap_or(1)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn a_kubelet_that_restarts_in_the_middle_of_a_drain_signals_again_and_no_request_is_lost() {
    let namespace = Namespace::new("kubelet", 30_307, "Cluster");
    // Long enough for the new kubelet to find the pod in its lame duck.
    let env = [("ZDD_SHUTDOWN_LAME_DUCK_MIN", "10s"), ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "12s")];
    namespace.apply(&deployment("web", 2, &container(&env)));
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    namespace.reachable().await;
    let loads =
        [Mode::KeepAlive, Mode::Fresh].map(|mode| namespace.load(300, mode).start().unwrap());
    let pods = namespace.get("pods");
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let pod = format!("pod/{name}");
    namespace.keep(&pod);
    namespace.kubectl(&["delete", &pod, "--wait=false"]);
    // It has heard the first signal when its readiness says so.
    let unready = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["ready"] == false;
    namespace.until(&pod, unready).await;
    tokio::task::block_in_place(|| {
        let testbed = namespace.testbed();
        testbed.signal(Component::Kubelet, Signal::Kill).unwrap();
        testbed.restart(Component::Kubelet).unwrap();
    });
    let ended = |pod: &serde_json::Value| !end(pod, "containerStatuses").is_null();
    let ended = end(&namespace.until(&pod, ended).await, "containerStatuses");
    assert_eq!(ended["exitCode"], 0, "{ended}");
    let signals = signals(&namespace, name);
    assert!(signals >= 2, "{signals} signals: the new kubelet did not find it in its drain");
    namespace.let_go(&pod);
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    for load in loads {
        let report = load.stop().await;
        assert!(report.sent > 1_000, "{report}");
        assert_eq!(report.failed, 0, "{report}");
    }
}
