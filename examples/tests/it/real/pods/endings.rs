//! Single pods that are deleted: what they still do, and how they end.

use serde_json::{Value, json};
use zdd_load::{Mode, Report};

use super::namespace::{Namespace, container, deployment, end};

/// Deletes the only pod of a Service with local traffic, under load of fresh connections, and
/// returns what became of the requests until its listener closed.
async fn delete_the_only_pod(namespace: &Namespace, readiness: &str) -> Report {
    // No adaptive end: the pod stays for as long as nothing else can serve.
    let env = [
        ("READINESS", readiness),
        ("ZDD_SHUTDOWN_LAME_DUCK_MIN", "8s"),
        ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "8s"),
    ];
    namespace.apply(&deployment("web", 1, &container(&env)));
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    namespace.reachable().await;
    let load = namespace.load(100, Mode::Fresh).start().unwrap();
    // Scaled to none, so that no successor takes the traffic over.
    tokio::task::block_in_place(|| {
        namespace.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    });
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    load.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn the_only_pod_keeps_its_traffic_to_the_close_if_it_stays_ready() {
    let namespace = Namespace::new("only-pod-ready", 30_303, "Local");
    let report = delete_the_only_pod(&namespace, "at-close").await;
    assert!(report.sent > 400, "{report}");
    assert_eq!(report.failed, 0, "{report}");
}

/// The gap that `ReadinessPolicy` documents: the proxy falls back to a terminating pod only while
/// that is ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn the_only_pod_loses_its_traffic_at_the_signal_by_default() {
    let namespace = Namespace::new("only-pod-unready", 30_304, "Local");
    let report = delete_the_only_pod(&namespace, "at-signal").await;
    assert!(report.sent > 400, "{report}");
    assert!(report.failed > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn hooks_reach_a_server_in_a_native_sidecar_which_ends_after_them() {
    let namespace = Namespace::new("sidecar", 30_305, "Cluster");
    let proxy = json!({
        "name": "proxy", "image": "web-graceful:1", "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "startupProbe": { "httpGet": { "path": "/livez", "port": 8080 }, "periodSeconds": 1 },
    });
    let mut web = container(&[
        ("PORT", "8081"),
        ("FAREWELL", "127.0.0.1:8080"),
        ("ZDD_SHUTDOWN_LAME_DUCK_MIN", "1s"),
        ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "3s"),
    ]);
    for probe in ["readinessProbe", "livenessProbe"] {
        web[probe]["httpGet"]["port"] = json!(8081);
    }
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
        "spec": { "initContainers": [proxy], "containers": [web] },
    }));
    namespace.kubectl(&["wait", "pod/web", "--for=condition=Ready", "--timeout=120s"]);
    namespace.keep("pod/web");
    namespace.kubectl(&["delete", "pod", "web", "--wait=false"]);
    let ended = |pod: &Value| {
        !end(pod, "containerStatuses").is_null() && !end(pod, "initContainerStatuses").is_null()
    };
    let pod = namespace.until("pod/web", ended).await;
    namespace.let_go("pod/web");
    let (web, proxy) = (end(&pod, "containerStatuses"), end(&pod, "initContainerStatuses"));
    // Its hook is required: without the proxy the code would be 1.
    assert_eq!(web["exitCode"], 0, "{web}");
    let at = |end: &Value| end["finishedAt"].as_str().unwrap().to_owned();
    assert!(at(&proxy) >= at(&web), "the proxy ended first: {proxy} {web}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real node: cargo xtask test --stage node"]
async fn a_grace_that_is_too_small_and_not_told_ends_in_sigkill_and_the_log_has_said_so() {
    let namespace = Namespace::new("grace", 30_306, "Cluster");
    let web = container(&[
        ("ZDD_SHUTDOWN_DEADLINE", "40s"),
        ("ZDD_SHUTDOWN_LAME_DUCK_MIN", "10s"),
        ("ZDD_SHUTDOWN_LAME_DUCK_MAX", "10s"),
    ]);
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
        "spec": { "terminationGracePeriodSeconds": 2, "containers": [web] },
    }));
    namespace.kubectl(&["wait", "pod/web", "--for=condition=Ready", "--timeout=120s"]);
    namespace.keep("pod/web");
    let log = namespace.follow("pod/web");
    namespace.kubectl(&["delete", "pod", "web", "--wait=false"]);
    let pod = namespace.until("pod/web", |pod| !end(pod, "containerStatuses").is_null()).await;
    namespace.let_go("pod/web");
    let web = end(&pod, "containerStatuses");
    assert_eq!(web["exitCode"], 128 + 9, "{web}");
    // The only trace that it can leave: what it said at the start, and no report.
    let log = log.wait_with_output().unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    let warning = "deadline of 40s does not fit the termination grace of a pod that sets none; set \
                   terminationGracePeriodSeconds and ZDD_TERMINATION_GRACE to at least 43";
    assert!(log.contains(warning) && !log.contains("shutdown ("), "{log}");
}
