//! Server processes.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command as Build, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

use super::scenario::Peer;

const NAME: &str = "shutdown_peer";
const START: Duration = Duration::from_secs(10);

/// Builds the server binary in the profile and target directory of this process.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Build::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "zdd-examples", "--bin", NAME])
        .status()
        .context("failed to start cargo")?;
    if !status.success() {
        bail!("failed to build {NAME}: {status}");
    }
    let binary = std::env::current_exe()?.with_file_name(NAME);
    if !binary.exists() {
        bail!("{NAME} was not built beside this program at {}", binary.display());
    }
    Ok(binary)
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Never written to: its end, however that comes, is the end of the server.
    _stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

/// How a server ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) by: Ended,
    pub(crate) after: Duration,
    /// Requests that its handlers completed, when it lived to tell.
    pub(crate) handled: Option<u64>,
}

/// What ended a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Code(i32),
    Signal,
    /// It had to be killed.
    Hung,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => code.fmt(f),
            Self::Signal => f.write_str("signal"),
            Self::Hung => f.write_str("hung"),
        }
    }
}

impl Server {
    pub(crate) async fn start(binary: &Path, peer: &Peer, threads: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(&peer.args)
            .args(["--threads", &threads.to_string()])
            .envs(peer.env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        // Taken, since waiting for the child would close it.
        let stdin = child.stdin.take().context("the server has no stdin")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(START, lines.next_line())
            .await
            .with_context(|| format!("{} did not listen within {START:?}", peer.name))??;
        let address = first
            .as_deref()
            .and_then(|line| line.strip_prefix("listening "))
            .with_context(|| format!("{} said {first:?} in place of its address", peer.name))?
            .parse()?;
        Ok(Self { child, _stdin: stdin, lines, address })
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        let id = self.child.id().context("the server ended before it was told to")?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("the server has no pid")?;
        kill_process(pid, Signal::TERM).context("failed to send SIGTERM")
    }

    /// Returns the processor time that its threads took so far, in nanoseconds.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("the server ended under load")?;
        let mut all = 0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let time = text.split(' ').next().context("schedstat is empty")?;
            all += time.parse::<u64>()?;
        }
        Ok(all)
    }

    /// Waits for the end, counted from `since`; kills the server after `limit`.
    pub(crate) async fn wait(mut self, since: Instant, limit: Duration) -> anyhow::Result<Exit> {
        let by = match timeout(limit, self.child.wait()).await {
            Ok(status) => status?.code().map_or(Ended::Signal, Ended::Code),
            Err(_) => Ended::Hung,
        };
        let after = since.elapsed();
        if by == Ended::Hung {
            self.child.kill().await?;
        }
        let mut handled = None;
        while let Some(line) = self.lines.next_line().await? {
            let value: Option<serde_json::Value> = serde_json::from_str(&line).ok();
            handled = handled.or(value.and_then(|value| value["handled"].as_u64()));
        }
        Ok(Exit { by, after, handled })
    }
}
