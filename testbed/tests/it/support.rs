//! One testbed in a folder of its own, driven by its commands.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The commands of one testbed. Whatever it left is taken down at the end.
pub(crate) struct Bed {
    home: tempfile::TempDir,
    tools: Option<PathBuf>,
    /// What the command is started by, with its arguments.
    prefix: Vec<String>,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), tools: None, prefix: Vec::new() }
    }

    /// Starts every command by another one.
    pub(crate) fn by(prefix: &[&str]) -> Self {
        let mut this = Self::new();
        this.start_by(prefix);
        this
    }

    /// Starts the commands that follow by another one.
    pub(crate) fn start_by(&mut self, prefix: &[&str]) {
        self.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Puts another program into the place of a component.
    pub(crate) fn replace(&mut self, component: &str, script: &str) {
        let built = PathBuf::from(self.run(&["build"]).ok().trim());
        let tools = self.home.path().join("tools");
        let key = built.parent().unwrap().file_name().unwrap();
        let bin = tools.join("testbed").join(key).join("bin");
        fs::create_dir_all(&bin).unwrap();
        for entry in fs::read_dir(&built).unwrap() {
            let entry = entry.unwrap();
            std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name())).unwrap();
        }
        let path = bin.join(component);
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, executable).unwrap();
        self.tools = Some(tools);
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn command(&self, args: &[&str]) -> Command {
        let own = env!("CARGO_BIN_EXE_zdd-testbed").to_owned();
        // A shell that runs the tests in the background has them ignore SIGINT, and what they
        // start as well.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").args(self.prefix.iter().chain([&own]));
        command.arg("--state").arg(self.dir()).args(args).stdin(Stdio::null());
        if let Some(tools) = &self.tools {
            command.env("ZDD_TOOLS", tools);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::new(&self.command(args).output().unwrap())
    }

    /// Starts a command and goes on.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Brings it up, and returns what it says about itself.
    #[track_caller]
    pub(crate) fn up(&self, level: &str) -> Value {
        let said = self.run(&["--json", "up", "--level", level]);
        serde_json::from_str(&said.ok()).unwrap()
    }

    #[track_caller]
    pub(crate) fn down(&self) {
        self.run(&["down"]).ok();
        assert!(!self.dir().exists(), "the state folder is left");
        assert_eq!(self.processes(), Vec::<String>::new());
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.run(&[&["shell", "kubectl"], args].concat()).ok()
    }

    /// Returns all processes of this testbed, wherever they run: every one of them has the state
    /// folder among its arguments.
    pub(crate) fn processes(&self) -> Vec<String> {
        self.lines().into_iter().map(|(_, line)| line).collect()
    }

    fn lines(&self) -> Vec<(i32, String)> {
        let dir = self.dir().display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let (Some(pid), Ok(line)) = (pid, fs::read(entry.path().join("cmdline"))) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&dir) {
                found.push((pid, line));
            }
        }
        found
    }

    /// Kills the process whose command line holds these words.
    #[track_caller]
    pub(crate) fn kill(&self, words: &str) {
        let found = self.lines().into_iter().find(|(_, line)| line.contains(words));
        let (pid, _) = found.unwrap_or_else(|| panic!("there is no process {words}"));
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    /// Waits until a fact holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut fact: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !fact(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing runs and nothing but logs is left.
    #[track_caller]
    pub(crate) fn until_gone(&self) {
        self.until("processes are left", |bed| bed.processes().is_empty());
        let left: Vec<_> = fs::read_dir(self.dir())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name != "logs" && name != "lock")
            .collect();
        assert!(left.is_empty(), "{left:?} is left");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Returns what a command said that went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.out
    }

    /// Returns the message of a command that failed, and was not killed.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert!(!self.status.success() && self.status.signal().is_none(), "{self:?}");
        self.err
    }
}

/// Interrupts a command, as the terminal does.
pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Returns the mounts and the groups of containers that the machine has.
pub(crate) fn traces(dir: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let dir = dir.display().to_string();
    let mounts = mounts.lines().filter(|line| line.contains(&dir) || line.contains("testbed"));
    let mut traces: Vec<String> = mounts.map(str::to_owned).collect();
    for entry in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let group = entry.path().join("k8s.io");
        if group.exists() {
            traces.push(group.display().to_string());
        }
    }
    traces
}
