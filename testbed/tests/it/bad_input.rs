//! What is refused before anything is built or started.

use std::process::{Command, Stdio};

use crate::support::Bed;

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn testbed() -> Command {
    Command::new(env!("CARGO_BIN_EXE_zdd-testbed"))
}

#[test]
fn a_name_that_would_lead_elsewhere_is_refused() {
    let text = said(testbed().args(["--name", "../x", "status"]));
    assert!(text.starts_with("error: \"../x\" is no name of a testbed"), "{text}");
}

#[test]
fn a_testbed_that_is_not_up_has_no_status_and_nothing_to_take_down() {
    let bed = Bed::new();
    let text = bed.run(&["status"]).refused();
    assert!(text.starts_with("error: no testbed is up in "), "{text}");
    assert!(bed.run(&["down"]).err.starts_with("nothing was up in "));
}

#[test]
fn a_folder_too_deep_for_a_socket_is_refused() {
    let deep = std::env::temp_dir().join("x".repeat(100));
    let text = said(testbed().arg("--state").arg(&deep).arg("up"));
    assert!(text.contains("is too long for the path of a socket; choose another"), "{text}");
    assert!(!deep.exists());
}

#[test]
fn a_machine_without_go_and_without_builds_is_told_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = testbed();
    command.arg("--state").arg(empty.path().join("state")).arg("up");
    command.env("ZDD_TOOLS", empty.path()).env("PATH", empty.path());
    let text = said(&mut command);
    assert!(text.contains("\n    Go 1.26 or newer; to get it: install it"), "{text}");
}

#[test]
fn a_component_that_does_not_exist_is_refused_with_those_that_do() {
    let text = said(testbed().args(["signal", "kube-dns", "kill"]));
    assert!(text.contains("kube-apiserver") && text.contains("kube-proxy"), "{text}");
}
