//! Child processes that get real signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, TryRecvError, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Longest that a victim may take to say or do something.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running victim; killed when dropped, so that no test leaves one behind.
pub(crate) struct Victim {
    child: u32,
    /// Not the child's own where that has started the victim.
    pid: u32,
    stdin: Option<ChildStdin>,
    stderr: ChildStderr,
    lines: Receiver<String>,
    heard: Vec<String>,
    ended: Receiver<(ExitStatus, Instant)>,
    pub(crate) address: Option<SocketAddr>,
}

/// How a victim ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// The signal that killed it.
    pub(crate) signal: Option<i32>,
    /// Time from just before the signal of [`Victim::end_by`], or from the call of
    /// [`Victim::end`], to the end of the process.
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
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // It must be able to write whether or not the test still listens.
                let _ = sender.send(line.trim_end().to_owned());
            }
        });
        let (pid, stdin, stderr) = (child.id(), child.stdin.take(), child.stderr.take().unwrap());
        let ended = reap(child);
        // None from one that ends at once.
        let first = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let address = first.strip_prefix("listening ").and_then(|address| address.parse().ok());
        Self { child: pid, pid, stdin, stderr, lines, heard: vec![first], ended, address }
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
        let signal = match name {
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            "TERM" => Signal::TERM,
            other => panic!("which signal is {other}?"),
        };
        // No process is started for it, so that a time that begins here begins with the signal.
        kill_process(process(self.pid), signal).unwrap();
    }

    /// Writes to its standard input, which has to be a pipe.
    pub(crate) fn type_in(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Waits for the end, counted from now.
    pub(crate) fn end(self) -> End {
        self.end_after(|_| {})
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: &str) -> End {
        self.end_after(|victim| victim.signal(signal))
    }

    fn end_after(mut self, act: impl FnOnce(&Self)) -> End {
        let since = Instant::now();
        act(&self);
        let ended = self.ended.recv_timeout(PATIENCE);
        let (status, at) = ended.expect("the victim ends");
        self.heard.extend(self.lines.iter());
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let stdout = self.heard.join("\n");
        End { code: status.code(), signal: status.signal(), took: at - since, stdout, stderr }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Fails when it has ended, which is the normal case.
        if self.ended.try_recv() == Err(TryRecvError::Empty) {
            let _ = kill_process(process(self.child), Signal::KILL);
        }
    }
}

/// Waits for the end of a process on a thread that does nothing else, and is there before any
/// signal is sent: the time is that of the process, and not of a test that was busy or slept.
fn reap(mut child: Child) -> Receiver<(ExitStatus, Instant)> {
    let (sender, ended) = channel();
    thread::spawn(move || {
        let status = child.wait().unwrap();
        // Nobody listens once the test is over.
        let _ = sender.send((status, Instant::now()));
    });
    ended
}

fn process(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).unwrap()
}

/// Where cargo puts examples: next to the directory of the tests.
pub(crate) fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join("victim")
}
