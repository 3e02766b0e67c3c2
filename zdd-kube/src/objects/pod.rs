//! Pods, and the pod part of templates.

use serde::Deserialize;
use serde_json::Value;

use crate::objects::{Truth, nullable};

/// A pod.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Pod {
    #[serde(default)]
    pub(crate) status: PodStatus,
}

impl Pod {
    /// Tells whether the pod says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        let is_ready = |condition: &&PodCondition| condition.r#type == PodConditionKind::Ready;
        let ready = self.status.conditions.iter().find(is_ready);
        ready.is_some_and(|condition| condition.status == Truth::True)
    }
}

/// What the kubelet reports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: PodPhase,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Vec<PodCondition>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) container_statuses: Vec<ContainerStatus>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum PodPhase {
    Failed,
    Pending,
    Running,
    Succeeded,
    #[default]
    #[serde(other)]
    Unknown,
}

/// One condition of a pod.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct PodCondition {
    pub(crate) r#type: PodConditionKind,
    pub(crate) status: Truth,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// The conditions of pods that zdd looks at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum PodConditionKind {
    PodScheduled,
    Ready,
    #[serde(other)]
    Other,
}

/// What the kubelet reports of one container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub(crate) name: String,
    pub(crate) restart_count: u32,
    pub(crate) state: ContainerState,
    pub(crate) last_state: ContainerState,
}

/// At most one of the states is there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct ContainerState {
    pub(crate) waiting: Option<Waiting>,
    pub(crate) terminated: Option<Terminated>,
}

/// Why a container does not run yet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Waiting {
    pub(crate) reason: WaitingReason,
    pub(crate) message: String,
}

/// Reasons to wait.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum WaitingReason {
    ContainerCannotRun,
    CrashLoopBackOff,
    CreateContainerConfigError,
    CreateContainerError,
    ErrImageNeverPull,
    ErrImagePull,
    ImageInspectError,
    ImagePullBackOff,
    InvalidImageName,
    RegistryUnavailable,
    RunContainerError,
    /// Of those that come and go by themselves, such as `ContainerCreating`.
    #[default]
    #[serde(other)]
    Other,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Terminated {
    pub(crate) exit_code: i32,
    pub(crate) signal: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The pod part of a template, for the checks before a rollout.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    #[serde(deserialize_with = "nullable")]
    pub(crate) init_containers: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) containers: Vec<Container>,
    pub(crate) termination_grace_period_seconds: Option<u32>,
}

/// One container of a template.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) readiness_probe: Option<Value>,
    pub(crate) liveness_probe: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Vec<Port>,
}

/// One port of a container.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Port {
    pub(crate) host_port: Option<u32>,
}
