//! Lets the kubelet of a cluster run real containers.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::{ContainerEvent, ContainerRuntime, StartError};
use crate::kubelet::{ContainerId, ContainerLog, Reports, Runtime, RuntimeEvent, Start};

/// The [`Runtime`] of process and service images.
#[derive(Debug)]
pub(crate) struct RealContainers {
    runtime: ContainerRuntime,
    reports: Reports,
}

impl RealContainers {
    pub(crate) fn new(reports: Reports) -> Self {
        let to = reports.clone();
        let runtime = ContainerRuntime::reporting(Arc::new(move |id, event| {
            if let Some(event) = translate(id, event) {
                to.send(id, event);
            }
        }));
        Self { runtime, reports }
    }
}

impl Runtime for RealContainers {
    fn start(&mut self, start: Start<'_>) {
        let started = serde_json::from_value((**start.pod).clone())
            .map_err(StartError::Pod)
            .and_then(|pod| self.runtime.start(&pod, &start.id.container, start.image, start.ip));
        if let Err(error) = started {
            let event = RuntimeEvent::Failed { reason: error.reason(), message: chain(&error) };
            self.reports.send(&start.id, event);
        }
    }

    fn stop(&mut self, id: &ContainerId, grace: Duration) {
        self.runtime.stop(id, grace);
    }

    fn forget(&mut self, id: &ContainerId) {
        self.runtime.forget(id);
    }

    fn logs(&self, id: &ContainerId) -> Vec<String> {
        self.runtime.logs(id).into_iter().map(|line| line.text).collect()
    }

    fn log(&self, id: &ContainerId) -> Option<ContainerLog> {
        self.runtime.log(id)
    }

    fn runs_pre_stop(&self) -> bool {
        true
    }
}

/// Says it in the words of the kubelet's status and Events.
fn translate(id: &ContainerId, event: ContainerEvent) -> Option<RuntimeEvent> {
    Some(match event {
        ContainerEvent::Exited(exit) => RuntimeEvent::Exited { code: exit.code },
        ContainerEvent::PreStopFailed(message) => {
            RuntimeEvent::Warned { reason: "FailedPreStopHook", message }
        }
        ContainerEvent::Ready(true) => RuntimeEvent::Ready,
        ContainerEvent::Ready(false) => RuntimeEvent::Unready,
        ContainerEvent::Running { .. } => RuntimeEvent::Started,
        ContainerEvent::Started => return None,
        ContainerEvent::Stopping(probe) => {
            let (container, probe) = (&id.container, probe.as_str().to_lowercase());
            let message = format!("Container {container} failed {probe} probe, will be restarted");
            RuntimeEvent::Noted { reason: "Killing", message }
        }
        ContainerEvent::Unhealthy { probe, message } => {
            let message = format!("{} probe failed: {message}", probe.as_str());
            RuntimeEvent::Warned { reason: "Unhealthy", message }
        }
    })
}

/// A status message has no source: all causes in one line.
fn chain(error: &StartError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        message.push_str(": ");
        message.push_str(&error.to_string());
        source = error.source();
    }
    message
}
