//! The rolling example as a user runs it: real pods, real requests.

#[cfg(unix)]
use std::process::{Child, Stdio};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn rolling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rolling")).args(args).output().unwrap()
}

/// The last line of a run with `--json`; the run must have ended well.
pub(crate) fn result(args: &[&str]) -> Value {
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
fn the_strategy_can_be_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rolling.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, "{ maxSurge: 50%, stage: { first: 2, bake: 90s }, soak: 5m }").unwrap();
    let output = rolling(&["--plan", "--config", file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for step in ["maxSurge 2, maxUnavailable 0", "bake", "soak"] {
        assert!(text.contains(step), "{text}");
    }

    std::fs::write(file, "maxSurge: 0").unwrap();
    let refused = String::from_utf8(rolling(&["--config", file]).stderr).unwrap();
    assert!(refused.contains("maxSurge is 0; no pod may be missing"), "{refused}");
    std::fs::write(file, "maxsurge: 1").unwrap();
    let refused = String::from_utf8(rolling(&["--config", file]).stderr).unwrap();
    assert!(refused.contains("rolling.yaml: ") && refused.contains("maxSurge"), "{refused}");
}

/// A run that is watched and can be interrupted.
#[cfg(unix)]
pub(crate) struct Watched {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

#[cfg(unix)]
impl Watched {
    pub(crate) fn start(args: &[&str]) -> Self {
        use std::io::BufRead;
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolling"));
        let mut child =
            command.args(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines: Box::new(lines.map(Result::unwrap)) }
    }

    /// Waits for a line of its progress that begins so.
    pub(crate) fn says(&mut self, when: &str) {
        assert!(self.lines.any(|line| line.starts_with(when)), "it never said {when}");
    }

    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Waits for the end, and returns the exit code and the lines that were not read yet.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        let rest = self.lines.by_ref().collect();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// Starts a run, interrupts it when a line of its progress begins with `when`, and returns the
/// exit code and the lines after that.
#[cfg(unix)]
pub(crate) fn interrupted(args: &[&str], when: &str) -> (Option<i32>, Vec<String>) {
    let mut run = Watched::start(args);
    run.says(when);
    run.interrupt();
    run.end()
}

#[cfg(unix)]
#[test]
fn an_interruption_ends_it_in_order() {
    let (code, rest) = interrupted(&["--soak", "600"], "reached converged");
    let told = "the rollout of Deployment default/web was cancelled; run it again to go on";
    assert!(rest.iter().any(|line| line == told), "{rest:?}");
    assert_eq!(code, Some(130), "{rest:?}");
}

#[test]
fn what_is_no_terminal_gets_lines_without_colours() {
    let output = rolling(&["--soak", "0", "--replicas", "1", "--min-ready-seconds", "0"]);
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    assert!(output.status.success(), "{out}{err}");
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
    assert!(out.starts_with("promoted\n") && out.ends_with("requests failed: 0\n"), "{out}");
    assert!(err.lines().any(|line| line == "reached converged"), "{err}");
    assert_eq!(err.lines().last(), Some("promoted"), "the end went unsaid: {err}");
}

#[test]
fn the_last_line_of_a_run_with_json_is_its_report() {
    let result = result(&["--stage", "1", "--bake", "1", "--replicas", "2", "--soak", "0"]);
    assert_eq!(result["strategy"], "rolling");
    assert_eq!(result["outcome"], "promoted");
    assert_eq!(result["requests"]["causes"], serde_json::json!({}));
    let phases = result["phases"].as_array().unwrap();
    let bake = phases.iter().find(|phase| phase["name"] == "bake").unwrap();
    assert!(bake["ms"].as_u64().unwrap() >= 1_000, "{result}");
    for verb in ["create", "get", "list", "patch", "watch"] {
        assert!(result["api_requests"][verb].as_u64().unwrap() > 0, "{result}");
    }
}

#[test]
fn bad_flags_are_refused_with_what_is_allowed() {
    for (args, hint) in [
        (&["--max-surge", "a few"][..], "\"a few\" is not a number of pods"),
        (&["--max-surge", "-1"], "'-1'"),
        (&["--stage", "150%"], "\"150%\" is more than all pods"),
        (&["--max-surge", "0"], "maxSurge is 0"),
        (&["--replicas", "0"], "1..=50"),
        (&["--fail", "slowly"], "[possible values: crash, never-ready, no-image]"),
        (&["--kubeconfig", "/nowhere"], "error: failed to read /nowhere: "),
        (&["--kubeconfig", "Cargo.toml"], "error: failed to read Cargo.toml: "),
        (&["--cluster", "--existing", "--replicas", "2"], "cannot be used with"),
        (&["--existing"], "--kubeconfig <FILE>|--cluster"),
        (&["--service-address", "127.0.0.1:80"], "--kubeconfig <FILE>|--cluster"),
        (&["--config", "/nowhere"], "failed to read /nowhere: "),
        (&["--config", "Cargo.toml"], "Cargo.toml: "),
        (&["--config", "Cargo.toml", "--soak", "5"], "cannot be used with"),
        (&["--plan", "--json"], "cannot be used with"),
        (&["--image", "shop:7"], "start from one of zdd-example-web:1, zdd-example-web:2"),
        (&["--namespace", "shop"], "create the namespace first"),
    ] {
        let output = rolling(args);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(errors.contains(hint), "{args:?}: {errors}");
    }
}
