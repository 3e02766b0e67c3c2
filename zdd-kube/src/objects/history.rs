//! What controllers keep of earlier templates.

use serde::Deserialize;
use serde_json::Value;
use zdd_core::Template;

use crate::objects::{normalized, template};

/// A ReplicaSet: one revision of a Deployment.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct ReplicaSet {
    pub(crate) spec: ReplicaSetSpec,
}

/// What a ReplicaSet is to make.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct ReplicaSetSpec {
    #[serde(deserialize_with = "template")]
    pub(crate) template: Template,
}

/// A ControllerRevision: one revision of a StatefulSet or DaemonSet.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Revision {
    #[serde(default)]
    pub(crate) revision: i64,
    #[serde(default)]
    data: Value,
}

impl Revision {
    /// Returns the template that the revision holds.
    pub(crate) fn template(&self) -> Option<Template> {
        self.data.pointer("/spec/template").cloned().map(normalized)
    }
}
