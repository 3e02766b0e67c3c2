//! The kubelet: takes pods that were bound to a node, runs their containers on a
//! [`Runtime`], and writes their status.
//!
//! One kubelet serves all nodes: nothing that a rollout can see depends on which
//! of them runs a pod.

mod address;
mod config;
mod container;
mod log;
mod runtime;
mod simulated;
mod status;
mod sync;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::collection::Collection;
use crate::controller::context::Note;
use crate::image::{Images, RuntimeKind};
use crate::object::Object;
use crate::store::{Entry, Place};
use address::Addresses;
use container::{Container, State};

#[cfg(all(test, feature = "process"))]
pub(crate) use log::CAPACITY;
pub use log::{ContainerLog, LogLine, Stream};
pub use runtime::{ContainerId, Report, Reports, Runtime, RuntimeEvent, Start};
pub(crate) use simulated::Simulated;

/// The kubelet's memory of the pods that it runs.
#[derive(Debug)]
pub(crate) struct Kubelet {
    pub(crate) images: Images,
    runtimes: BTreeMap<RuntimeKind, Box<dyn Runtime>>,
    addresses: Addresses,
    pods: HashMap<Place, Pod>,
    /// Finds the pod of a report.
    places: HashMap<Arc<str>, Place>,
    now: Instant,
}

/// A pod that this kubelet runs.
#[derive(Debug)]
struct Pod {
    uid: Arc<str>,
    ip: Option<IpAddr>,
    containers: Vec<Container>,
    stopping: Option<Stopping>,
    /// What has to be told by Events.
    notes: Vec<(Note, String)>,
}

/// How far the termination of a pod is.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    /// When SIGKILL is due.
    deadline: Instant,
    /// When preStop ends and SIGTERM is due.
    term_at: Instant,
    /// Whether SIGTERM was sent, and the deadline that the runtime knows.
    told: Option<Instant>,
}

impl Kubelet {
    pub(crate) fn new(images: Images) -> Self {
        Self {
            images,
            runtimes: BTreeMap::new(),
            addresses: Addresses::default(),
            pods: HashMap::new(),
            places: HashMap::new(),
            now: Instant::now(),
        }
    }

    pub(crate) fn add_runtime(&mut self, kind: RuntimeKind, runtime: Box<dyn Runtime>) {
        self.runtimes.insert(kind, runtime);
    }

    /// Returns the last lines of a container's output; `None` when no such container is here.
    pub(crate) fn logs(&self, pod: &Place, container: &str) -> Option<Vec<String>> {
        let pod = self.pods.get(pod)?;
        let container = pod.containers.iter().find(|c| &*c.name == container)?;
        let id = ContainerId::new(Arc::clone(&pod.uid), Arc::clone(&container.name));
        Some(self.runtimes.get(&container.runtime?)?.logs(&id))
    }

    /// Returns the log of a container; `None` when it has not been started or writes none.
    pub(crate) fn log(&self, pod: &Place, container: &str) -> Option<ContainerLog> {
        let pod = self.pods.get(pod)?;
        let container = pod.containers.iter().find(|c| &*c.name == container)?;
        let id = ContainerId::new(Arc::clone(&pod.uid), Arc::clone(&container.name));
        self.runtimes.get(&container.runtime?)?.log(&id)
    }

    /// Lets the runtimes do what is due; returns when they want to be called again.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.now = now;
        self.runtimes.values_mut().filter_map(|runtime| runtime.advance(now)).min()
    }

    /// Tells which pods have to be looked at after a write.
    pub(crate) fn observe(entry: &Entry, push: &mut dyn FnMut(Place)) {
        let pod = &entry.object;
        let is_own = &*entry.actor == crate::controller::Controller::Kubelet.name();
        let is_bound = pod.text("/spec/nodeName").is_some();
        if entry.collection == Collection::PODS && is_bound && !is_own {
            push((pod.namespace().to_owned(), pod.name().to_owned()));
        }
    }

    /// Takes in what a runtime reports; returns the pod that has to be looked at.
    pub(crate) fn take(&mut self, report: Report, time: &str) -> Option<Place> {
        let Some(place) = self.places.get(&report.id.pod).cloned() else {
            // The last word of a pod that was removed by force.
            if matches!(report.event, RuntimeEvent::Exited { .. }) {
                self.runtimes.values_mut().for_each(|runtime| runtime.forget(&report.id));
            }
            return None;
        };
        let now = self.now;
        let pod = self.pods.get_mut(&place)?;
        let container = pod.containers.iter_mut().find(|c| c.name == report.id.container)?;
        match report.event {
            RuntimeEvent::Exited { code } => {
                let started = match &container.state {
                    State::Running { started } => started.clone(),
                    State::Ended { .. } | State::Starting { .. } | State::Waiting { .. } => {
                        time.into()
                    }
                };
                container.ready = false;
                container.state = State::Ended { code, started, finished: time.into() };
            }
            RuntimeEvent::Failed { reason, message } => {
                let until = now + container.back_off.fail(now);
                container.wait(reason, message, until);
            }
            RuntimeEvent::Noted { reason, message } => {
                pod.notes.push((Note::Normal(reason), message));
            }
            RuntimeEvent::Ready => container.ready = true,
            RuntimeEvent::Started => container.begin(time),
            RuntimeEvent::Unready => container.ready = false,
            RuntimeEvent::Warned { reason, message } => {
                pod.notes.push((Note::Warning(reason), message));
            }
        }
        Some(place)
    }
}
