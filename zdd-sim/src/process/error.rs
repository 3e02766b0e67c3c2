//! Why a container could not be started.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::environment::EnvironmentError;
use crate::probe::ProbeError;

/// Why a container could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A probe or handler cannot be run.
    #[error("failed to prepare a probe or handler")]
    Checks(#[from] ProbeError),
    /// The environment cannot be made.
    #[error("failed to prepare the environment")]
    Environment(#[from] EnvironmentError),
    /// The guard of all processes cannot be started, and without it none is.
    #[error("failed to start /bin/sh, which ends all processes of pods if this one is killed")]
    Guard(#[source] io::Error),
    /// The pod has no such container.
    #[error("pod {pod} has no container {container:?}")]
    NoContainer {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
    },
    /// An in-process service needs a port to listen on.
    #[error("container {container:?} declares no port; give its first containerPort")]
    NoPort {
        /// The container's name.
        container: String,
    },
    /// The pod cannot be read as one.
    #[error("failed to read the pod")]
    Pod(#[source] serde_json::Error),
    /// The container already runs.
    #[error("container {container:?} of pod {pod} already runs")]
    Running {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
    },
    /// A simulated image runs in virtual time, not here.
    #[error("the image of container {container:?} is a simulated one")]
    Simulated {
        /// The container's name.
        container: String,
    },
    /// The program or thread did not start.
    #[error("failed to start {}", program.display())]
    Spawn {
        /// The program, or the service's pod.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    /// Returns the reason under which a kubelet would let the container wait.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Checks(_) | Self::Environment(_) | Self::NoPort { .. } => {
                "CreateContainerConfigError"
            }
            Self::Guard(_)
            | Self::NoContainer { .. }
            | Self::Pod(_)
            | Self::Running { .. }
            | Self::Simulated { .. }
            | Self::Spawn { .. } => "RunContainerError",
        }
    }
}
