//! Views of Kubernetes objects: the fields that zdd looks at, with strings turned into enums.
//!
//! Objects arrive as documents. A view is made once, where an object enters the crate; whatever
//! a view does not name is left alone, because writes are patches.

mod fingerprint;
mod happening;
mod history;
mod pod;
mod service;
mod workload;

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zdd_core::{Template, Uid};

pub(crate) use fingerprint::Fingerprint;
pub(crate) use happening::{Happening, refusals_of};
pub(crate) use history::{Historic, ReplicaSet, Revision};
pub(crate) use pod::{
    ContainerStatus, Pod, PodConditionKind, PodPhase, PodSpec, Terminated, WaitingReason,
};
pub(crate) use service::{
    Affinity, Service, ServiceKind, Slice, TrafficPolicy, service_of, slices_of,
};
pub(crate) use workload::{
    ConditionKind, ConditionReason, IntOrString, Status, StrategyKind, Workload,
};

/// One object: what all have in common, and the rest as this kind's view.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object<B> {
    pub(crate) meta: Meta,
    pub(crate) body: B,
}

/// What all objects have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) generation: i64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The uid of the controller that made it.
    pub(crate) controller: Option<String>,
    pub(crate) created: Option<jiff::Timestamp>,
    pub(crate) terminating: bool,
}

impl Meta {
    pub(crate) fn uid(&self) -> Uid {
        Uid::new(&self.uid)
    }
}

impl<B: DeserializeOwned> TryFrom<DynamicObject> for Object<B> {
    type Error = serde_json::Error;

    fn try_from(object: DynamicObject) -> Result<Self, serde_json::Error> {
        let metadata = object.metadata;
        let controller = metadata.owner_references.into_iter().flatten();
        let controller = controller.filter(|owner| owner.controller == Some(true));
        let meta = Meta {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            controller: controller.map(|owner| owner.uid).next(),
            created: metadata.creation_timestamp.map(|time| time.0),
            terminating: metadata.deletion_timestamp.is_some(),
        };
        Ok(Self { meta, body: serde_json::from_value(object.data)? })
    }
}

/// Whether something is so, as conditions say it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum Truth {
    False,
    True,
    #[default]
    #[serde(other)]
    Unknown,
}

/// The label that the Deployment controller adds to the template of each ReplicaSet.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";
/// The label that marks pods and revisions of StatefulSets and DaemonSets.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// Removes from a template what controllers and encoders add, so that equal templates give equal
/// pods.
pub(crate) fn normalized(mut template: Value) -> Template {
    if let Some(root) = template.as_object_mut() {
        // Patches in ControllerRevisions carry their own directive.
        root.remove("$patch");
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|_, value| !value.is_null());
            if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
                labels.remove(HASH_LABEL);
            }
        }
    }
    Template::new(template)
}

/// Reads `null`, which Go writes for empty lists and maps, like an absent field.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
