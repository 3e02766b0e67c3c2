//! Child processes that get real signals.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use tokio::time::Instant;

/// Longest that a victim may take to say or do something.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running victim; killed when dropped, so that no test leaves one behind.
pub(crate) struct Victim {
    child: Child,
    /// Not the child's own where that has started the victim.
    pid: u32,
    lines: Receiver<String>,
    heard: Vec<String>,
    pub(crate) address: Option<SocketAddr>,
}

/// How a victim ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// Time from the last signal that was sent, or from the start.
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Victim {
    /// Starts one and waits until it listens.
    pub(crate) fn start(mode: &str, env: &[(&str, &str)]) -> Self {
        Self::run(Command::new(path()).arg(mode), env)
    }

    /// Starts one by a command that ends in one and waits until it listens.
    pub(crate) fn run(command: &mut Command, env: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("PORT", "0")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`cargo test` builds the example; before `cargo test --test it`, build it");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // It must be able to write whether or not the test still listens.
                let _ = sender.send(line);
            }
        });
        let pid = child.id();
        // None from one that ends at once.
        let first = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let address = first.strip_prefix("listening ").and_then(|address| address.parse().ok());
        Self { child, pid, lines, heard: vec![first], address }
    }

    /// Signals another process than the child from now on.
    pub(crate) fn stands_for(&mut self, pid: u32) {
        self.pid = pid;
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Waits for the next line that it prints.
    fn hear(&mut self) -> String {
        let heard = &self.heard;
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("no more lines ({error}): {heard:?}"));
        self.heard.push(line.clone());
        line
    }

    /// Waits until it has printed this line, so many times if called so often.
    pub(crate) fn says(&mut self, expected: &str) {
        while self.hear() != expected {}
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end, counted from now.
    pub(crate) fn end(mut self) -> End {
        let since = Instant::now();
        let code = self.wait().code();
        let took = Instant::now() - since;
        self.heard.extend(self.lines.iter());
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        End { code, took, stdout: self.heard.join("\n"), stderr }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: &str) -> End {
        self.signal(signal);
        self.end()
    }

    fn wait(&mut self) -> ExitStatus {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < limit, "the victim does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Both fail when it has ended, which is the normal case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts examples: next to the directory of the tests.
pub(crate) fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("victim")
}
