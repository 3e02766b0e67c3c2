//! The control plane: it comes up in time, and goes away however it ends.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::support::{Bed, send};

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn it_is_ready_within_ten_seconds_and_leaves_nothing() {
    let bed = Bed::new();
    let info = bed.up("control-plane");
    let ready = info["ready_ms"].as_u64().unwrap();
    assert!(ready <= 10_000, "{info}");
    assert!(bed.kubectl(&["get", "serviceaccount", "default", "-o", "name"]).contains("default"));
    assert!(bed.run(&["status"]).ok().contains("kube-controller-manager"));
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_second_one_in_the_same_place_is_refused_and_one_beside_it_is_not() {
    let (bed, other) = (Bed::new(), Bed::new());
    let first = bed.up("control-plane");
    let text = bed.run(&["up"]).refused();
    let keeper = &first["keeper"];
    assert!(text.contains("error: a testbed is already up in "), "{text}");
    assert!(text.contains(&format!("(keeper {keeper})")), "{text}");
    bed.run(&["status"]).ok();
    let second = other.up("control-plane");
    assert_ne!(first["server"], second["server"]);
    other.down();
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_port_that_is_taken_is_named() {
    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let bed = Bed::new();
    let text = bed.run(&["up", "--api-port", &port]).refused();
    assert!(text.contains(&format!("port {port} of 127.0.0.1 is not free")), "{text}");
    bed.until_gone();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_component_that_dies_at_start_is_named_with_its_log_and_its_last_words() {
    let mut bed = Bed::new();
    bed.replace("kube-apiserver", "echo no such luck; exit 3");
    let text = bed.run(&["up"]).refused();
    assert!(text.contains("kube-apiserver ended (exit status: 3) before it was ready"), "{text}");
    let log = bed.dir().join("logs/kube-apiserver.log");
    assert!(text.contains(&format!("its log is {}\n    no such luck", log.display())), "{text}");
    assert!(log.exists());
    bed.until_gone();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_program_that_is_not_one_is_named() {
    let mut bed = Bed::new();
    bed.replace("etcd", "");
    let path = bed.run(&["build"]).ok().trim().to_owned() + "/etcd";
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = bed.run(&["up"]).refused();
    assert!(text.contains("etcd ended (exit status: 1) before it was ready"), "{text}");
    assert!(text.contains("/etcd: Permission denied"), "{text}");
    bed.until_gone();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_full_disk_ends_the_start_with_the_log_of_who_met_it() {
    // Smaller than the first file of etcd. Whoever is not root can be root of such a disk.
    let mut bed = Bed::new();
    std::fs::create_dir(bed.dir()).unwrap();
    let mount = format!("mount -t tmpfs -o size=8m full {}", bed.dir().display());
    let script = format!("{mount} && exec \"$@\"");
    bed.start_by(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    let text = bed.run(&["up"]).refused();
    assert!(text.contains("its log is ") && text.contains("etcd.log"), "{text}");
    assert!(text.contains("no space left on device"), "{text}");
    bed.start_by(&[]);
    bed.until_gone();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn it_needs_no_rights() {
    // A user of that number, who owns the same files, and may do nothing else that root may.
    let bed = Bed::by(&["unshare", "--user", "--map-user=1000", "--map-group=1000"]);
    bed.up("control-plane");
    let text = Bed::by(&["unshare", "--user", "--map-user=1000", "--map-group=1000"])
        .run(&["up", "--level", "node"])
        .refused();
    assert!(text.contains("lacks what the level node needs:\n    the rights of root;"), "{text}");
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn nothing_outlives_a_supervisor_that_is_killed() {
    let bed = Bed::new();
    bed.up("control-plane");
    bed.kill("testbed-internal supervisor");
    bed.until_gone();
    bed.up("control-plane");
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn what_a_killed_keeper_leaves_is_files_and_the_next_start_removes_them() {
    let bed = Bed::new();
    bed.up("control-plane");
    bed.kill("testbed-internal keeper");
    bed.until("processes are left", |bed| bed.processes().is_empty());
    let text = bed.run(&["status"]).refused();
    assert!(text.contains(" was killed: no testbed answers at "), "{text}");
    let said = bed.run(&["up"]);
    assert!(said.err.contains("removed what a killed testbed had left in "), "{said:?}");
    said.ok();
    bed.kill("testbed-internal keeper");
    bed.until("processes are left", |bed| bed.processes().is_empty());
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn nothing_outlives_a_start_that_is_interrupted() {
    for signal in [Signal::INT, Signal::KILL] {
        let bed = Bed::new();
        let mut up = bed.spawn(&["up"]);
        let api = |bed: &Bed| bed.processes().iter().any(|line| line.contains("kube-apiserver"));
        bed.until("the API server did not start", api);
        send(&up, signal);
        assert!(!up.wait().unwrap().success());
        bed.until_gone();
    }
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_component_can_be_killed_and_started_again_and_its_objects_are_still_there() {
    let bed = Bed::new();
    bed.up("control-plane");
    bed.kubectl(&["create", "configmap", "before"]);
    bed.run(&["signal", "etcd", "kill"]).ok();
    let said = bed.run(&["status"]);
    assert!(said.out.contains("killed on request"), "{said:?}");
    bed.run(&["restart", "etcd"]).ok();
    bed.run(&["status"]).ok();
    let text = bed.run(&["restart", "etcd"]).refused();
    assert!(text.contains("etcd runs already"), "{text}");
    assert!(bed.kubectl(&["get", "configmap", "before", "-o", "name"]).contains("before"));
    bed.run(&["signal", "kube-apiserver", "stop"]).ok();
    assert!(bed.run(&["status"]).out.contains("stopped by a signal"));
    bed.run(&["signal", "kube-apiserver", "cont"]).ok();
    bed.run(&["status"]).ok();
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_component_that_ended_by_itself_is_reported() {
    let bed = Bed::new();
    bed.up("control-plane");
    bed.kill("kube-controller-manager");
    bed.until("the end was not noticed", |bed| !bed.run(&["status"]).status.success());
    let said = bed.run(&["status"]);
    assert!(said.out.contains("ended by itself (signal: 9 (SIGKILL))"), "{said:?}");
    assert!(said.out.contains("logs/kube-controller-manager.log"), "{said:?}");
    bed.down();
}

#[test]
#[ignore = "needs Go, or what it built: cargo xtask test --stage testbed"]
fn a_user_may_do_nothing_until_allowed_to() {
    let bed = Bed::new();
    bed.up("control-plane");
    let config = bed.run(&["user", "anna", "--group", "testers"]).ok();
    let config = format!("--kubeconfig={}", config.trim());
    let text = bed.run(&["shell", "kubectl", &config, "get", "pods"]).refused();
    assert!(text.contains("User \"anna\" cannot list resource \"pods\""), "{text}");
    let allow = ["create", "rolebinding", "testers", "--clusterrole=view", "--group=testers"];
    bed.kubectl(&allow);
    bed.kubectl(&[&config, "get", "pods"]);
    bed.down();
}
