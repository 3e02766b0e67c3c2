//! Child processes that get real signals.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use tokio::time::Instant;

/// A running victim; killed when dropped, so that no test leaves one behind.
pub(crate) struct Victim {
    child: Child,
    stdout: BufReader<ChildStdout>,
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
        let mut child = Command::new(path())
            .arg(mode)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .env("PORT", "0")
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`cargo test` builds the example; before `cargo test --test it`, build it");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening ").and_then(|address| address.parse().ok());
        Self { child, stdout, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end, counted from now.
    pub(crate) fn end(mut self) -> End {
        let since = Instant::now();
        let code = self.wait().code();
        let took = Instant::now() - since;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        End { code, took, stdout, stderr }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: &str) -> End {
        self.signal(signal);
        self.end()
    }

    fn wait(&mut self) -> ExitStatus {
        let limit = Instant::now() + Duration::from_secs(40);
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
fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("victim")
}
