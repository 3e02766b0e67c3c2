//! Services, and the EndpointSlices that show where they lead.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::objects::nullable;

/// The label on an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A Service.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Service {
    #[serde(default)]
    pub(crate) spec: ServiceSpec,
}

/// Where a Service leads.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpec {
    pub(crate) r#type: ServiceKind,
    #[serde(deserialize_with = "nullable")]
    pub(crate) selector: BTreeMap<String, String>,
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: Option<String>,
    pub(crate) session_affinity: Affinity,
    pub(crate) publish_not_ready_addresses: bool,
    pub(crate) external_traffic_policy: TrafficPolicy,
}

/// The types of Services.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum ServiceKind {
    #[default]
    ClusterIP,
    ExternalName,
    #[serde(other)]
    Other,
}

/// Whether a client stays with a pod.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum Affinity {
    ClientIP,
    #[default]
    #[serde(other)]
    None,
}

/// Where traffic from outside may go.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) enum TrafficPolicy {
    Local,
    #[default]
    #[serde(other)]
    Cluster,
}

impl ServiceSpec {
    /// Tells whether the Service sends traffic to pods with these labels.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.r#type != ServiceKind::ExternalName && self.covers(labels)
    }

    /// Tells whether the selector matches these labels, whether the Service uses it or not.
    pub(crate) fn covers(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty()
            && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    pub(crate) fn is_headless(&self) -> bool {
        self.cluster_ip.as_deref() == Some("None")
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Slice {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    #[serde(default)]
    pub(crate) conditions: Conditions,
    pub(crate) target_ref: Option<Reference>,
}

/// What an endpoint can do; an absent value has a meaning of its own.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

/// The pod behind an endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Reference {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) uid: String,
}

impl Conditions {
    /// Tells whether new connections go to a pod that can serve them.
    ///
    /// `ready` is not enough: it is always true when a Service publishes pods that are not ready.
    pub(crate) fn takes_connections(&self) -> bool {
        self.ready.unwrap_or(true)
            && self.serving.unwrap_or(true)
            && !self.terminating.unwrap_or(false)
    }
}

/// Returns the name of the Service that a slice belongs to.
pub(crate) fn service_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(SERVICE_LABEL).map(String::as_str)
}

/// Writes the label selector for the slices of some Services.
pub(crate) fn slices_of<'a>(services: impl Iterator<Item = &'a str>) -> String {
    let names = services.collect::<Vec<_>>().join(",");
    format!("{SERVICE_LABEL} in ({names})")
}
