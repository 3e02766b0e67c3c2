//! What the processes of a testbed tell each other and leave in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::plan::{Component, Level, Ports};

/// What is to be started.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    pub(crate) level: Level,
    /// The state folder.
    pub(crate) dir: PathBuf,
    /// The folder of the built programs.
    pub(crate) bin: PathBuf,
    /// The archive with the images of pods, on the node level.
    pub(crate) images: Option<PathBuf>,
    /// The folder of the plugins that connect pods, on the node level.
    pub(crate) cni: Option<PathBuf>,
    /// The port of the API server; any that is free if none is asked for.
    pub(crate) api_port: Option<u16>,
    /// The process outside of the box; it fills this in itself.
    pub(crate) keeper: u32,
}

/// What there is to know about a testbed that is up.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// How much of a cluster runs.
    pub level: Level,
    /// The state folder.
    pub dir: PathBuf,
    /// The process outside of the box that clears up at the end.
    pub keeper: u32,
    /// Credentials of an administrator. On the node level they lead to an address inside the box.
    pub kubeconfig: PathBuf,
    /// The address of the API server.
    pub server: String,
    /// One file per component.
    pub logs: PathBuf,
    /// One line of JSON per request that the API server answered.
    pub audit_log: PathBuf,
    /// The programs: `kubectl` and the components.
    pub bin: PathBuf,
    /// How long each stage of the start took, in milliseconds.
    pub stages: BTreeMap<String, u64>,
    /// How long all of it took, in milliseconds.
    pub ready_ms: u64,
    pub(crate) ports: Ports,
}

/// What happens while a testbed starts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A program is being built; there are so many of them.
    Building {
        /// What is built.
        what: String,
        /// Its number, from one.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// What a killed run left behind was removed.
    Cleared {
        /// The folder that held it.
        dir: PathBuf,
    },
    /// A stage of the start has begun.
    Begun {
        /// Which one.
        stage: Stage,
    },
    /// A stage of the start has ended well.
    Ended {
        /// Which one.
        stage: Stage,
        /// How long it took.
        time: Duration,
    },
    /// It is up.
    Up {
        /// What there is to know about it.
        info: Box<Info>,
    },
    /// It did not come up; everything was taken down again.
    Failed {
        /// What went wrong, with the log to look at.
        problem: String,
    },
}

/// The stages of a start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// The box: mounts and network.
    Box,
    /// Keys, certificates and configuration.
    Configuration,
    /// A component, until it says that it is ready.
    Component(Component),
    /// The default service account, without which no pod can be made.
    ServiceAccount,
    /// The images of pods.
    Images,
    /// The node, until the API server calls it ready.
    NodeReady,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Box => "box",
            Self::Configuration => "configuration",
            Self::Component(component) => component.name(),
            Self::ServiceAccount => "service-account",
            Self::Images => "images",
            Self::NodeReady => "node-ready",
        })
    }
}

impl Info {
    /// The file that holds it.
    const FILE: &str = "state.json";

    /// Reads it from a state folder; there is none where no testbed is up.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is not understood", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let path = self.dir.join(Self::FILE);
        let partial = path.with_extension("partial");
        fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("failed to write {}", path.display()))
    }
}
