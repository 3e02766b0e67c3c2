//! The node: pods run, and its box leaves nothing behind.

use std::io::Write;

use crate::support::{Bed, traces};

/// Two pods of the service behind a port of the node.
const WEB: &str = r#"{ "apiVersion": "v1", "kind": "List", "items": [
  { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
    "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": {
      "metadata": { "labels": { "app": "web" } },
      "spec": { "containers": [{ "name": "app", "image": "web:3", "imagePullPolicy": "Never",
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1 }
      }] } } } },
  { "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
    "spec": { "type": "NodePort", "selector": { "app": "web" },
      "ports": [{ "port": 80, "targetPort": 8080, "nodePort": 30080 }] } }
] }"#;

/// Brings a node up with pods that serve.
fn serving() -> Bed {
    let bed = Bed::new();
    let info = bed.up("node");
    let ready = info["ready_ms"].as_u64().unwrap();
    assert!(ready <= 20_000, "{info}");
    let file = bed.dir().join("web.json");
    std::fs::File::create(&file).unwrap().write_all(WEB.as_bytes()).unwrap();
    bed.kubectl(&["apply", "-f", &file.display().to_string()]);
    bed.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    bed
}

/// Asks the service once, through the port of the node.
fn ask(bed: &Bed) -> String {
    ask_at(bed, "127.0.0.1/30080")
}

/// Asks once, at an address and a port.
fn ask_at(bed: &Bed, at: &str) -> String {
    // Readiness is the pods'; the node follows a moment later.
    let mut answer = String::new();
    bed.until("the service did not answer", |bed| {
        let client =
            format!("exec 3<>/dev/tcp/{at} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
        let said = bed.run(&["shell", "bash", "-c", &client]);
        answer = said.out;
        answer.starts_with("HTTP/1.0 200")
    });
    answer
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn pods_serve_through_a_port_of_the_node_and_nothing_is_left_of_it() {
    let bed = serving();
    let answer = ask(&bed);
    assert!(answer.contains("x-version: 3"), "{answer}");
    // The port is not the machine's.
    assert!(std::net::TcpStream::connect(("127.0.0.1", 30080)).is_err());
    bed.down();
    assert_eq!(traces(&bed.dir()), Vec::<String>::new());
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn a_kubelet_and_a_proxy_can_stand_still_and_be_killed() {
    let bed = serving();
    for component in ["kube-proxy", "kubelet"] {
        bed.run(&["signal", component, "stop"]).ok();
        assert!(bed.run(&["status"]).out.contains("stopped by a signal"));
        bed.run(&["signal", component, "cont"]).ok();
        bed.run(&["signal", component, "kill"]).ok();
        bed.run(&["restart", component]).ok();
    }
    ask(&bed);
    bed.down();
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn nothing_outlives_a_process_of_it_that_is_killed() {
    for part in ["unshare --net", "supervisor", "keeper"] {
        let bed = serving();
        let internal = if part.starts_with("unshare") {
            part.to_owned()
        } else {
            format!("testbed-internal {part}")
        };
        // The command line of the box names the supervisor too: the first process found is enough.
        bed.kill(&internal);
        bed.until("processes are left", |bed| bed.processes().is_empty());
        bed.down();
        assert_eq!(traces(&bed.dir()), Vec::<String>::new(), "after {part}");
    }
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn the_box_leaves_the_settings_of_the_kernel_alone() {
    let names = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];
    let read = || names.map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap());
    let before = read();
    let bed = serving();
    assert_eq!(read(), before);
    bed.down();
    assert_eq!(read(), before);
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn a_command_inside_sees_the_box_and_not_the_machine() {
    let bed = serving();
    let code = bed.run(&["shell", "--inside", "sh", "-c", "exit 7"]).status.code();
    assert_eq!(code, Some(7), "the code of a command is its own");
    let first = bed.run(&["shell", "--inside", "cat", "/proc/1/cmdline"]).ok();
    assert!(first.contains("testbed-internal"), "{first}");
    bed.down();
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn a_pod_that_traffic_has_left_ends_early_although_the_kubelet_goes_on_to_probe_it() {
    let bed = serving();
    // Twice a second a new connection each, and 60 s to wait for the last one.
    let longer = r#"{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":90,"containers":[
        {"name":"app","env":[{"name":"ZDD_SHUTDOWN_DEADLINE","value":"80s"},
        {"name":"ZDD_TERMINATION_GRACE","value":"90"},
        {"name":"ZDD_SHUTDOWN_LAME_DUCK_MAX","value":"60s"}],
        "livenessProbe":{"httpGet":{"path":"/livez","port":8080},"periodSeconds":1}}]}}}}"#;
    bed.kubectl(&["patch", "deployment", "web", "--patch", longer]);
    bed.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let mut addresses = String::new();
    bed.until("old pods are left", |bed| {
        let pods = ["get", "pods", "--selector=app=web", "-o=jsonpath={.items[*].status.podIP}"];
        addresses = bed.kubectl(&pods);
        addresses.split(' ').count() == 2
    });
    // Who has never been called cannot tell whether traffic is still to come.
    for address in addresses.split(' ') {
        ask_at(&bed, &format!("{address}/8080"));
    }
    bed.kubectl(&["delete", "pod", "--selector=app=web", "--wait", "--timeout=30s"]);
    bed.down();
}

#[test]
#[ignore = "needs root and containerd: cargo xtask test --stage node-testbed"]
fn what_a_pod_prints_can_be_read() {
    let bed = serving();
    bed.kubectl(&["set", "env", "deployment/web", "FAIL=crash"]);
    bed.until("the crash was not told", |bed| {
        let logs = ["shell", "kubectl", "logs", "--selector=app=web", "--prefix", "--tail=-1"];
        bed.run(&logs).out.contains("this version crashes at the start")
    });
    bed.down();
}
