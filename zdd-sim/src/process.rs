//! Containers that are real: child processes with signals and exit codes, or services in this
//! process; each pod on a loopback address of its own, each probe over a real socket.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod address;
mod container;
mod environment;
mod error;
mod group;
mod guard;
mod image;
mod launch;
mod node;
mod orders;
mod output;
mod running;

pub use address::{AddressBlock, AddressError};
use container::{Container, Reporter, Sink};
pub use container::{ContainerEvent, ProbeKind};
pub use environment::EnvironmentError;
pub use error::StartError;
use guard::Guard;
pub use image::{ProcessImage, ServiceError, ServiceImage, ServicePod};
pub(crate) use launch::Launch;
pub(crate) use node::RealContainers;
use orders::Orders;
pub use running::Exit;
use running::{Control, Running};

use crate::image::Image;
use crate::kubelet::{ContainerId, ContainerLog, LogLine};
use crate::probe::{Checks, Target};

/// Runs containers that are real: child processes, or services in this process.
///
/// A [`Cluster`](crate::Cluster) has one for its images of these kinds; it can be used alone too.
///
/// Does what a node's kubelet does below the level of the pod: it starts
/// one run of a container, probes it, stops it on order, and reports what happens. When to run a
/// container again is for the kubelet to decide.
///
/// # What is as on a node
/// - preStop, then SIGTERM to the first process, then, when the grace period is over, SIGKILL to
///   everything in the container; at least 2 s between the two signals.
/// - Startup, readiness and liveness probes with their thresholds and delays; readiness goes on
///   after the order to stop, the others do not.
/// - The environment is the image's and the pod's, not this process's (except `PATH` and `TMPDIR`).
///
/// # What is not
/// - There is no isolation: all containers see this machine's files, processes and network.
///   Volumes, security contexts and resource limits have no effect.
/// - A redirect answers a probe; it is not followed.
/// - Until a startup or readiness probe first passes it is tried between its periods too, after
///   20 ms, 40 ms and so on; such a try counts only when it passes.
/// - Everything takes real time; tokio's paused time does not fit.
///
/// # Guarantees
/// No process outlives the runtime: neither its drop, nor the end of the tokio runtime, nor the
/// death of this process by a signal (a shell at the other end of a pipe sees to the last).
pub struct ContainerRuntime {
    events: Sink,
    entries: Mutex<BTreeMap<ContainerId, Entry>>,
    guard: OnceLock<Arc<Guard>>,
    tasks: TaskTracker,
    end: CancellationToken,
}

#[derive(Default)]
struct Entry {
    log: ContainerLog,
    run: Option<Run>,
}

struct Run {
    orders: Orders,
    control: Control,
    ended: CancellationToken,
}

impl ContainerRuntime {
    /// Creates a runtime and the receiver of its events.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<(ContainerId, ContainerEvent)>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let runtime = Self::reporting(Arc::new(move |id, event| {
            // Nobody listens any more when the receiver is gone; containers still end in order.
            let _ = events.send((id.clone(), event));
        }));
        (runtime, receiver)
    }

    /// Creates a runtime that hands its events to a function, from any thread.
    pub(crate) fn reporting(events: Sink) -> Self {
        Self {
            events,
            entries: Mutex::default(),
            guard: OnceLock::new(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Starts a run of a container of `pod`, which has the address `ip`.
    ///
    /// Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`StartError`]; then nothing has been started and no event follows.
    pub fn start(
        &self,
        pod: &core::Pod,
        container: &str,
        image: &Image,
        ip: IpAddr,
    ) -> Result<(), StartError> {
        let spec = find(pod, container)?;
        let checks = Checks::read(spec)?;
        let id = ContainerId {
            pod: pod.metadata.uid.as_deref().unwrap_or_default().into(),
            container: container.into(),
        };
        let mut entries = self.entries();
        let entry = entries.entry(id.clone()).or_default();
        if entry.run.as_ref().is_some_and(|run| !run.ended.is_cancelled()) {
            let (pod, container) = (name(pod).to_owned(), container.to_owned());
            return Err(StartError::Running { pod, container });
        }
        entry.log.begin();
        let started = match image {
            Image::Process(image) => self.process(pod, spec, image, ip, &entry.log),
            Image::Service(image) => {
                service(pod, spec, image, ip, &entry.log).map(|running| (running, None))
            }
            Image::Simulated(_) => Err(StartError::Simulated { container: container.to_owned() }),
        };
        let (running, launch) = started.inspect_err(|_| entry.log.end())?;
        let run = Run {
            orders: Orders::new(),
            control: running.control().clone(),
            ended: CancellationToken::new(),
        };
        let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let container = Container {
            checks,
            target: Target { ip, launch },
            reporter: Reporter { id, events: Arc::clone(&self.events) },
            orders: run.orders.clone(),
            grace: Duration::from_secs(grace.and_then(|s| u64::try_from(s).ok()).unwrap_or(30)),
        };
        let (end, ended) = (self.end.clone(), run.ended.clone().drop_guard());
        let log = entry.log.clone();
        entry.run = Some(run);
        self.tasks.spawn(async move {
            // Cancelled at the runtime's end, which drops and so kills what runs.
            end.run_until_cancelled(container.supervise(running, (ended, log))).await;
        });
        Ok(())
    }

    /// Orders a container to stop within `grace`; a later order can only shorten it.
    ///
    /// Returns at once; [`ContainerEvent::Exited`] tells the end.
    pub fn stop(&self, id: &ContainerId, grace: Duration) {
        if let Some(run) = self.entries().get(id).and_then(|entry| entry.run.as_ref()) {
            run.orders.stop(grace);
        }
    }

    /// Kills a container, if it runs, and forgets its log.
    pub fn forget(&self, id: &ContainerId) {
        if let Some(run) = self.entries().remove(id).and_then(|entry| entry.run) {
            run.control.kill();
        }
    }

    /// Returns the last output of a container, of all its runs.
    #[must_use]
    pub fn logs(&self, id: &ContainerId) -> Vec<LogLine> {
        self.entries().get(id).map(|entry| entry.log.lines()).unwrap_or_default()
    }

    /// Returns the log of a container, which can be read while it grows.
    pub(crate) fn log(&self, id: &ContainerId) -> Option<ContainerLog> {
        self.entries().get(id).map(|entry| entry.log.clone())
    }

    /// Kills all containers and waits until they are gone; their last events are sent.
    ///
    /// A service that never yields cannot be killed and is left behind after a second.
    pub async fn close(self) {
        self.kill_all();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
    }

    fn process(
        &self,
        pod: &core::Pod,
        spec: &core::Container,
        image: &ProcessImage,
        ip: IpAddr,
        log: &ContainerLog,
    ) -> Result<(Running, Option<Launch>), StartError> {
        let env = environment::environment(pod, spec, ip, image.variables())?;
        let (program, args) = image.command_line(spec, &env);
        let directory = spec.working_dir.as_ref().map(PathBuf::from);
        let mut launch = Launch { env, directory, group: None };
        let guard = self.guard()?;
        let command = launch.command(&program, &args);
        let running = Running::process(command, &guard, log, (name(pod), &spec.name))
            .map_err(|source| StartError::Spawn { program, source })?;
        launch.group = running.control().pid();
        Ok((running, Some(launch)))
    }

    fn guard(&self) -> Result<Arc<Guard>, StartError> {
        if let Some(guard) = self.guard.get() {
            return Ok(Arc::clone(guard));
        }
        let guard = Arc::new(Guard::start().map_err(StartError::Guard)?);
        Ok(Arc::clone(self.guard.get_or_init(|| guard)))
    }

    fn kill_all(&self) {
        for entry in self.entries().values() {
            if let Some(run) = &entry.run {
                run.control.kill();
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ContainerRuntime {
    fn drop(&mut self) {
        self.kill_all();
        self.end.cancel();
    }
}

impl fmt::Debug for ContainerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerRuntime")
            .field("containers", &self.entries().keys())
            .finish_non_exhaustive()
    }
}

fn service(
    pod: &core::Pod,
    spec: &core::Container,
    image: &ServiceImage,
    ip: IpAddr,
    log: &ContainerLog,
) -> Result<Running, StartError> {
    let port = environment::first_port(spec)
        .ok_or_else(|| StartError::NoPort { container: spec.name.clone() })?;
    let env = environment::environment(pod, spec, ip, &BTreeMap::new())?;
    let name = name(pod).to_owned();
    let inside = ServicePod { name: name.clone(), ip, env, shutdown: CancellationToken::new() };
    Running::service(image.clone(), SocketAddr::new(ip, port), inside, log)
        .map_err(|source| StartError::Spawn { program: name.into(), source })
}

fn find<'a>(pod: &'a core::Pod, container: &str) -> Result<&'a core::Container, StartError> {
    let containers = pod
        .spec
        .iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    containers.into_iter().find(|spec| spec.name == container).ok_or_else(|| {
        StartError::NoContainer { pod: name(pod).to_owned(), container: container.to_owned() }
    })
}

fn name(pod: &core::Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
