//! A container that runs: a child process, or a service on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::group::Group;
use super::guard::Guard;
use super::image::{ServiceImage, ServicePod};
use super::output;
use crate::kubelet::{ContainerLog, Stream};

/// The number of SIGKILL.
const SIGKILL: i32 = 9;

/// How long the rest of the output is awaited after the end.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// How a container ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Exit {
    /// The exit code; 128 plus the signal's number where a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Exit {
    fn killed() -> Self {
        Self { code: 128 + SIGKILL, signal: Some(SIGKILL) }
    }

    fn code(code: i32) -> Self {
        Self { code, signal: None }
    }

    /// Returns what Kubernetes calls it: `Completed` or `Error`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.code == 0 { "Completed" } else { "Error" }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let signal = status.signal();
        let code = status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(-1);
        Self { code, signal }
    }
}

/// What can be done to a running container.
#[derive(Clone, Debug)]
pub(super) enum Control {
    Process(Arc<Group>),
    Service { terminate: CancellationToken, kill: CancellationToken },
}

impl Control {
    pub(super) fn terminate(&self) {
        match self {
            Self::Process(group) => group.terminate(),
            Self::Service { terminate, .. } => terminate.cancel(),
        }
    }

    pub(super) fn kill(&self) {
        match self {
            Self::Process(group) => group.kill(),
            Self::Service { kill, .. } => kill.cancel(),
        }
    }

    /// Returns the process id, where there is one.
    pub(super) fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(group) => Some(group.number()),
            Self::Service { .. } => None,
        }
    }
}

/// A container that runs. Kills it when dropped.
#[derive(Debug)]
pub(super) struct Running {
    control: Control,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Process(Child, TaskTracker),
    Service(oneshot::Receiver<Exit>),
}

impl Running {
    /// Starts a child process, whose output goes to `log` until it ends.
    pub(super) fn process(
        command: Command,
        guard: &Arc<Guard>,
        log: &ContainerLog,
        (pod, container): (&str, &str),
    ) -> io::Result<Self> {
        let (group, mut child) = Group::start(command, guard)?;
        let readers = TaskTracker::new();
        let follow = |stream| {
            let (log, pod, container) = (log.clone(), pod.to_owned(), container.to_owned());
            move |source| async move {
                output::follow(&log, stream, source, (&pod, &container)).await;
            }
        };
        if let Some(stdout) = child.stdout.take() {
            readers.spawn(follow(Stream::Stdout)(Box::new(stdout) as Source));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.spawn(follow(Stream::Stderr)(Box::new(stderr) as Source));
        }
        readers.close();
        Ok(Self { control: Control::Process(group), work: Work::Process(child, readers) })
    }

    /// Starts a service on a thread.
    pub(super) fn service(
        image: ServiceImage,
        address: SocketAddr,
        pod: ServicePod,
        log: &ContainerLog,
    ) -> io::Result<Self> {
        let (terminate, kill) = (pod.shutdown.clone(), CancellationToken::new());
        let (ended, work) = oneshot::channel();
        let (log, killed) = (log.clone(), kill.clone());
        std::thread::Builder::new().name(pod.name.clone()).spawn(move || {
            let serve = AssertUnwindSafe(|| serve(&image, address, pod, &log, &killed));
            // 101 is what a Rust program exits with after a panic.
            let exit = catch_unwind(serve).unwrap_or_else(|_| Exit::code(101));
            let _ = ended.send(exit);
        })?;
        Ok(Self { control: Control::Service { terminate, kill }, work: Work::Service(work) })
    }

    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// Waits for its end, and for the end of its output.
    pub(super) async fn wait(&mut self) -> Exit {
        match &mut self.work {
            Work::Process(child, readers) => {
                let status = child.wait().await;
                if let Control::Process(group) = &self.control {
                    group.reaped();
                }
                // Something that left the group may hold the pipes for as long as it likes.
                let _ = tokio::time::timeout(LAST_OUTPUT, readers.wait()).await;
                // Only a child that was reaped elsewhere cannot be waited for; it is gone anyway.
                status.map_or_else(|_| Exit::code(-1), Exit::from)
            }
            Work::Service(ended) => ended.await.unwrap_or_else(|_| Exit::killed()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.kill();
    }
}

type Source = Box<dyn tokio::io::AsyncRead + Send + Unpin>;

fn serve(
    image: &ServiceImage,
    address: SocketAddr,
    pod: ServicePod,
    log: &ContainerLog,
    kill: &CancellationToken,
) -> Exit {
    let failed = |what: &str, error: &dyn std::error::Error| {
        log.push(Stream::Stderr, format!("{what}: {error}"));
        Exit::code(1)
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed("failed to start a runtime", &error),
    };
    let exit = runtime.block_on(kill.run_until_cancelled(async {
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => return failed(&format!("failed to listen on {address}"), &error),
        };
        match image.run(listener, pod).await {
            Ok(()) => Exit::code(0),
            Err(error) => failed("the service failed", &*error),
        }
    }));
    // As the end of a process ends its threads, also those that block.
    runtime.shutdown_background();
    exit.unwrap_or_else(Exit::killed)
}
