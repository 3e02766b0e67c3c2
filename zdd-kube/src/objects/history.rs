//! What controllers keep of earlier templates.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zdd_core::Template;

use super::{Fingerprint, normalized};

/// A ReplicaSet: one revision of a Deployment.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct ReplicaSet {
    pub(crate) spec: ReplicaSetSpec,
}

/// What a ReplicaSet is to make.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct ReplicaSetSpec {
    pub(crate) template: Fingerprint,
}

/// A ControllerRevision: one revision of a StatefulSet or DaemonSet.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Revision {
    #[serde(default)]
    pub(crate) revision: i64,
    #[serde(rename = "data", default, deserialize_with = "kept")]
    pub(crate) template: Option<Fingerprint>,
}

fn kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fingerprint>, D::Error> {
    let data = Value::deserialize(deserializer)?;
    let template = data.pointer("/spec/template").cloned().map(normalized);
    Ok(template.map(|template| Fingerprint::of(&template)))
}

/// A ReplicaSet or ControllerRevision with its template, for going back to it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Historic {
    pub(crate) revision: i64,
    data: Value,
    spec: Value,
}

impl Historic {
    /// Returns the template that the object holds.
    pub(crate) fn template(&self) -> Option<Template> {
        let template = self.data.pointer("/spec/template").or(self.spec.pointer("/template"));
        template.cloned().map(normalized)
    }
}
