//! Pod templates, which this crate stores and compares but never looks into.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pod template as the cluster stores it: defaulted, complete.
///
/// Two templates are equal when they would give the same pods. The cluster
/// adapter removes what a controller adds on its own before it makes one.
/// Cloning is cheap.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Template(Arc<Value>);

impl Template {
    /// Wraps a template that the cluster has defaulted.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(Arc::new(value))
    }

    /// Returns the document.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for Template {
    /// Prints no content: environment variables may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template(..)")
    }
}

/// What a rollout changes about the pods.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Change {
    /// Another image for one container.
    Image {
        /// The container's name.
        container: String,
        /// The image reference.
        image: String,
    },
    /// New pods of the same template, as `kubectl rollout restart`.
    Restart,
    /// A whole new template; fields left out take the cluster's defaults.
    Template(Template),
    /// Back to an earlier revision, as `kubectl rollout undo`.
    Undo {
        /// The revision's number; `None` for the one before the present.
        revision: Option<i64>,
    },
}

impl Change {
    /// Sets one container's image.
    #[must_use]
    pub fn image(container: impl Into<String>, image: impl Into<String>) -> Self {
        Self::Image { container: container.into(), image: image.into() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { container, image } => {
                write!(f, "set image of container {container} to {image}")
            }
            Self::Restart => f.write_str("restart all pods"),
            Self::Template(_) => f.write_str("set the pod template"),
            Self::Undo { revision: Some(revision) } => write!(f, "go back to revision {revision}"),
            Self::Undo { revision: None } => f.write_str("go back to the previous revision"),
        }
    }
}
