//! How lists and maps merge: the `patchMergeKey`, `listType` and `mapType` marks of the API types.
//!
//! A field is recognised by its name and the name of the field around it, which is enough to tell
//! all marked fields of the served kinds apart.

use serde_json::Value;

use super::resource::Resource;
use super::structural;

/// How a list merges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ListKind<'a> {
    /// As a whole.
    Atomic,
    /// By the items themselves.
    Set,
    /// By keys of the items.
    Map(MapKeys),
    /// By the keys that the schema of a custom kind names, in a list.
    Named(&'a Value),
}

/// By which fields the items of a list are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MapKeys {
    /// The single key of a strategic merge patch.
    pub(crate) patch: &'static str,
    /// The keys of server-side apply.
    pub(crate) apply: &'static [&'static str],
}

const CONTAINERS: [&str; 3] = ["containers", "ephemeralContainers", "initContainers"];

/// The marks that hold for a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Schema<'a> {
    /// Those of the built-in kinds, by the names of fields.
    BuiltIn,
    /// Those of a custom kind: they stand in the schema of the value, if it has one.
    Custom(Option<&'a Value>),
}

impl<'a> Schema<'a> {
    pub(crate) fn of(resource: &'a Resource) -> Self {
        if resource.is_custom() { Self::Custom(resource.schema()) } else { Self::BuiltIn }
    }

    /// The schema of a member.
    pub(crate) fn member(self, key: &str) -> Self {
        match self {
            Self::BuiltIn => self,
            Self::Custom(schema) => {
                Self::Custom(schema.and_then(|schema| structural::known(schema, key)))
            }
        }
    }

    /// The schema of the items of a list.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::BuiltIn => self,
            Self::Custom(schema) => Self::Custom(schema.and_then(|schema| schema.get("items"))),
        }
    }

    pub(crate) fn list_kind(self, parent: &str, field: &str) -> ListKind<'a> {
        match self {
            Self::BuiltIn => list_kind(parent, field),
            // The metadata are those of every object.
            Self::Custom(_) if parent == "metadata" => list_kind(parent, field),
            Self::Custom(Some(schema)) => match schema["x-kubernetes-list-type"].as_str() {
                Some("map") => ListKind::Named(&schema["x-kubernetes-list-map-keys"]),
                Some("set") => ListKind::Set,
                _ => ListKind::Atomic,
            },
            Self::Custom(None) => ListKind::Atomic,
        }
    }

    pub(crate) fn is_atomic_map(self, field: &str) -> bool {
        match self {
            Self::BuiltIn => is_atomic_map(field),
            Self::Custom(schema) => {
                schema.is_some_and(|schema| schema["x-kubernetes-map-type"] == "atomic")
            }
        }
    }
}

/// Returns how the list `field` within `parent` merges.
pub(crate) fn list_kind(parent: &str, field: &str) -> ListKind<'static> {
    let map = |patch, apply| ListKind::Map(MapKeys { patch, apply });
    match field {
        "finalizers" if parent == "metadata" => ListKind::Set,
        "containers"
        | "ephemeralContainers"
        | "env"
        | "imagePullSecrets"
        | "initContainers"
        | "resourceClaims"
        | "secrets"
        | "volumes" => map("name", &["name"]),
        "ports" if CONTAINERS.contains(&parent) => {
            map("containerPort", &["containerPort", "protocol"])
        }
        "ports" if parent == "spec" => map("port", &["port", "protocol"]),
        "volumeMounts" => map("mountPath", &["mountPath"]),
        "volumeDevices" => map("devicePath", &["devicePath"]),
        "hostAliases" => map("ip", &["ip"]),
        "podIPs" | "hostIPs" => map("ip", &["ip"]),
        "topologySpreadConstraints" => map("topologyKey", &["topologyKey", "whenUnsatisfiable"]),
        "ownerReferences" => map("uid", &["uid"]),
        "conditions" => map("type", &["type"]),
        "addresses" if parent == "status" => map("type", &["type"]),
        _ => ListKind::Atomic,
    }
}

/// Tells whether the map `field` is owned and replaced as a whole by server-side apply.
fn is_atomic_map(field: &str) -> bool {
    matches!(
        field,
        "configMapKeyRef"
            | "fieldRef"
            | "labelSelector"
            | "namespaceSelector"
            | "nodeSelector"
            | "resourceFieldRef"
            | "secretKeyRef"
            | "selector"
    )
}

/// The value of a key that an item leaves out, where the API has a default for it.
pub(crate) fn default_key(key: &str) -> Option<&'static str> {
    (key == "protocol").then_some("TCP")
}
