//! The program `zdd-sim`: what it writes, and what it leaves behind.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{LIMIT, Said};

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zdd-sim"));
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// Starts it and waits for its first line.
async fn start(folder: &Path, args: &[&str]) -> (Child, Value) {
    let mut child = program(folder, args).arg("--json").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("a line in time");
    (child, serde_json::from_str(&line.unwrap().unwrap()).unwrap())
}

async fn stop(mut child: Child, signal: Signal) -> i32 {
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends in time");
    ended.unwrap().code().unwrap_or(-1)
}

#[tokio::test]
async fn a_signal_ends_it_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("pod.yaml");
    let pid_file = folder.path().join("pid");
    let script = folder.path().join("script");
    std::fs::write(
        &script,
        format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", pid_file.display()),
    )
    .unwrap();
    std::fs::write(
        &manifest,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: i}]}\n",
    )
    .unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let image = format!("i=/bin/sh {}", script.display());
        let args = ["--image", &image, "--load", manifest.to_str().unwrap()];
        let (child, line) = start(folder.path(), &args).await;
        let kubeconfig = folder.path().join("zdd-sim.kubeconfig");
        assert_eq!(
            line["kubeconfig"].as_str().map(Path::new),
            kubeconfig.canonicalize().ok().as_deref()
        );
        let text = std::fs::read_to_string(&kubeconfig).unwrap();
        assert!(text.contains(line["server"].as_str().unwrap()));
        let pod = tokio::time::timeout(LIMIT, async {
            loop {
                if let Ok(text) = std::fs::read_to_string(&pid_file) {
                    return Pid::from_raw(text.trim().parse().unwrap()).unwrap();
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        let pod = pod.await.expect("the pod runs in time");
        std::fs::remove_file(&pid_file).unwrap();
        assert_eq!(stop(child, signal).await, 0);
        assert!(!kubeconfig.exists());
        let gone = tokio::time::timeout(LIMIT, async {
            while is_alive(pod) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        gone.await.expect("the process of the pod is gone");
    }
}

/// A process that nobody has waited for yet is not alive.
fn is_alive(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    status.is_ok_and(|text| !text.contains(") Z "))
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (child, line) = start(folder.path(), &[]).await;
    let server = line["server"].as_str().unwrap();
    let port = server.split([':', '/']).nth(4).unwrap();
    let refused = async |args: &[&str]| {
        let output = program(folder.path(), args).output().await.unwrap();
        let said = Said::of(&output);
        assert_eq!(said.code, 1, "{said:?}");
        said.err
    };
    let taken = refused(&["--port", port, "--kubeconfig", "other"]).await;
    assert!(
        taken.contains(&format!("failed to listen on 127.0.0.1:{port}; choose another address"))
    );
    let other = refused(&[]).await;
    assert!(other.contains("leads to another cluster that is up"), "{other}");
    let text = std::fs::read_to_string(folder.path().join("zdd-sim.kubeconfig")).unwrap();
    assert!(text.contains(server), "the file of the other one stays");
    let nothing = refused(&["--image", "a=no/such/program"]).await;
    assert!(nothing.contains("the program no/such/program of the image a is not there"));
    let twice = refused(&["--image", "a=sh", "--image", "a=true"]).await;
    assert!(twice.contains("the image a is given twice"), "{twice}");
    let unwritable = refused(&["--kubeconfig", "no/such/folder/file"]).await;
    assert!(unwritable.contains("no/such/folder/file; choose another file"), "{unwritable}");
    let foreign = folder.path().join("foreign");
    let text = "clusters:\n- name: production\n  cluster: {server: https://example}\n";
    std::fs::write(&foreign, text).unwrap();
    let kept = refused(&["--kubeconfig", "foreign"]).await;
    assert!(kept.contains("names other clusters"), "{kept}");
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), text);
    let missing = refused(&["--kubeconfig", "third", "--load", "nothing.yaml"]).await;
    assert!(missing.contains("failed to read nothing.yaml"), "{missing}");
    assert!(!folder.path().join("third").exists());
    stop(child, Signal::INT).await;
}
