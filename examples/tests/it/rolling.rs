//! The rolling example as a user runs it: real pods, real requests.

use std::process::{Command, Output};

use serde_json::Value;

fn rolling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rolling")).args(args).output().unwrap()
}

/// The last line of a run with `--json`; the run must have ended well.
fn result(args: &[&str]) -> Value {
    let output = rolling(&[&["--json"], args].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{errors}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_good_version_is_promoted_without_a_failed_request() {
    let result = result(&[]);
    assert_eq!(result["outcome"], "promoted");
    assert_eq!(result["requests"]["failed"], 0, "{result}");
    assert!(result["requests"]["sent"].as_u64().unwrap() > 1_000, "{result}");
    let (total, limit) =
        (result["total_ms"].as_u64().unwrap(), result["limit_ms"].as_u64().unwrap());
    assert!(total * 10 <= limit * 12, "took {total} ms, the pods alone need {limit} ms");
}

#[test]
fn bad_versions_are_rolled_back_without_a_failed_request() {
    for (fail, deadline, detail) in [
        ("crash", "60", "exit code 1"),
        ("never-ready", "8", "no progress in time"),
        ("no-image", "60", "not found"),
    ] {
        let result = result(&["--fail", fail, "--deadline", deadline]);
        assert_eq!(result["outcome"], "rolled-back", "{fail}: {result}");
        assert_eq!(result["requests"]["failed"], 0, "{fail}: {result}");
        assert!(result["detail"].as_str().unwrap().contains(detail), "{fail}: {result}");
    }
}

#[test]
fn a_plan_names_its_steps_and_rolls_nothing() {
    let output = rolling(&["--plan", "--stage", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for step in
        ["set the pod template (maxSurge 1, maxUnavailable 0", "bake", "soak", "give settings back"]
    {
        assert!(text.contains(step), "{text}");
    }
}

#[test]
fn bad_flags_are_refused_with_what_is_allowed() {
    for (args, hint) in [
        (&["--max-surge", "150%"][..], "0% to 100%"),
        (&["--max-surge", "0"], "maxSurge is 0"),
        (&["--replicas", "0"], "1..=50"),
        (&["--kubeconfig", "/nowhere"], "failed to read /nowhere"),
    ] {
        let output = rolling(args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(errors.contains(hint), "{args:?}: {errors}");
    }
}
