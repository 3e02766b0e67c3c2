//! What a kubelet asks of whatever runs containers.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::log::ContainerLog;
use crate::image::Image;

/// Runs containers of one kind of image and reports what becomes of them.
///
/// The kubelet calls it while it holds the cluster's lock: no method may block or call back into
/// the cluster. Everything that happens later goes through [`Reports`].
pub trait Runtime: fmt::Debug + Send {
    /// Starts a container; after an exit the kubelet starts it again under the same id.
    ///
    /// Reports [`RuntimeEvent::Started`] and then [`RuntimeEvent::Ready`], or
    /// [`RuntimeEvent::Failed`] when it cannot be started.
    fn start(&mut self, start: Start<'_>);

    /// Asks a container to end: SIGTERM now, SIGKILL after `grace`.
    ///
    /// Reports [`RuntimeEvent::Exited`] in the end, also when the container had not started.
    /// A second call may only shorten the grace.
    fn stop(&mut self, id: &ContainerId, grace: Duration);

    /// Forgets a container that has ended and will not be started again, and its output.
    fn forget(&mut self, id: &ContainerId) {
        let _ = id;
    }

    /// Returns the last lines of a container's output.
    fn logs(&self, id: &ContainerId) -> Vec<String> {
        let _ = id;
        Vec::new()
    }

    /// Returns the log of a container, to be read while it grows; `None` when it writes none.
    fn log(&self, id: &ContainerId) -> Option<ContainerLog> {
        let _ = id;
        None
    }

    /// Tells whether [`Runtime::stop`] runs the preStop hook, within its grace and before
    /// SIGTERM. If not, the kubelet waits as long as the hook would take and stops then.
    fn runs_pre_stop(&self) -> bool {
        false
    }

    /// Does what is due and returns when it wants to be called again.
    ///
    /// For runtimes that live in virtual time; those with tasks of their own need it not.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        let _ = now;
        None
    }
}

/// Names a container of a pod.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct ContainerId {
    /// The pod's uid.
    pub pod: Arc<str>,
    /// The container's name.
    pub container: Arc<str>,
}

impl ContainerId {
    /// Names a container by its pod's uid and its own name.
    #[must_use]
    pub fn new(pod_uid: impl Into<Arc<str>>, container: impl Into<Arc<str>>) -> Self {
        Self { pod: pod_uid.into(), container: container.into() }
    }
}

/// What a runtime needs to start a container.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Start<'a> {
    /// The container.
    pub id: ContainerId,
    /// The pod, with the container's command, environment and ports.
    pub pod: &'a Arc<Value>,
    /// The image that the pull found.
    pub image: &'a Image,
    /// The pod's address.
    pub ip: IpAddr,
    /// How often the container was started before.
    pub restarts: u32,
}

/// What became of a container.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RuntimeEvent {
    /// It ended.
    Exited {
        /// The exit code; 128 plus the signal where a signal ended it.
        code: i32,
    },
    /// It could not be started.
    Failed {
        /// The reason as in `state.waiting.reason`: `RunContainerError`, `CreateContainerError`.
        reason: &'static str,
        /// The message as in `state.waiting.message`.
        message: String,
    },
    /// Something that a Normal Event of the pod should tell.
    Noted {
        /// The Event's reason, such as `Killing`.
        reason: &'static str,
        /// The Event's message.
        message: String,
    },
    /// Its readiness probe passes, or it has none.
    Ready,
    /// Its process runs.
    Started,
    /// Its readiness probe fails after it passed.
    Unready,
    /// Something that a Warning Event of the pod should tell.
    Warned {
        /// The Event's reason, such as `Unhealthy`.
        reason: &'static str,
        /// The Event's message.
        message: String,
    },
}

/// An event of one container.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The container.
    pub id: ContainerId,
    /// What became of it.
    pub event: RuntimeEvent,
}

/// Where a runtime reports to; may be used from any thread.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    queue: Arc<Mutex<VecDeque<Report>>>,
    wake: Arc<Notify>,
}

impl Reports {
    /// Reports an event of a container; the cluster looks at it in its next step.
    pub fn send(&self, id: &ContainerId, event: RuntimeEvent) {
        let report = Report { id: id.clone(), event };
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(report);
        self.wake.notify_one();
    }

    pub(crate) fn receive(&self) -> Option<Report> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Wakes the cluster for another reason than a report.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
