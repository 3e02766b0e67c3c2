//! What other people do to the target while a rollout is under way.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use zdd_core::WorkloadKind;
use zdd_sim::{Deletion, Part, StoreError};

use crate::lab::{Lab, collection};
use crate::manifest;

/// One edit by someone who knows nothing of the rollout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Edit {
    /// Deletes the target.
    Delete,
    /// Sets an annotation, which counts as a new generation of a Deployment.
    Annotate,
    /// Starts a second driver with another image.
    Rival,
    /// Sets the number of pods.
    Scale(u32),
    /// Sets another template.
    SetTemplate,
}

impl Edit {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        match random.u32(0..8) {
            0 => Self::Delete,
            1 | 2 => Self::Annotate,
            3 => Self::Rival,
            // A StatefulSet of one pod cannot be rolled without a gap: it replaces pods in place.
            4 | 5 => Self::Scale(random.u32(2..6)),
            _ => Self::SetTemplate,
        }
    }

    /// Tells whether the target must end as the fault-free run ends, but for the number of pods.
    pub(crate) fn leaves_the_goal(self) -> bool {
        match self {
            Self::Annotate | Self::Scale(_) => true,
            Self::Delete | Self::Rival | Self::SetTemplate => false,
        }
    }

    /// Makes the edit. [`Edit::Rival`] is the runner's business.
    pub(crate) fn make(self, lab: &Lab) {
        let actor: Arc<str> = Arc::from("kubectl");
        let target = lab.target();
        let place = (&*target.namespace, &*target.name);
        let kind = collection(target.kind);
        let edit: Box<dyn FnOnce(&mut Value)> = match self {
            Self::Rival => return,
            // The nodes say how many pods a DaemonSet has.
            Self::Scale(_) if target.kind == WorkloadKind::DaemonSet => return,
            Self::Delete => {
                let deleted = lab
                    .cluster()
                    .with_store(|store| store.delete(&actor, &kind, place, &Deletion::default()));
                return ignore_absence(&deleted.map(drop));
            }
            Self::Annotate => Box::new(|object| {
                object["metadata"]["annotations"]["example.com/note"] = "by hand".into();
            }),
            Self::Scale(replicas) => Box::new(move |object| {
                object["spec"]["replicas"] = replicas.into();
            }),
            Self::SetTemplate => Box::new(|object| {
                object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:3".into();
            }),
        };
        let made = lab
            .cluster()
            .with_store(|store| store.modify(&actor, &kind, Part::Main, place, edit).map(drop));
        ignore_absence(&made);
    }
}

/// An edit can come after the target is gone.
fn ignore_absence(made: &Result<(), StoreError>) {
    assert!(
        matches!(made, Ok(()) | Err(StoreError::NotFound { .. })),
        "an edit by hand was refused: {made:?} ({})",
        manifest::CONTAINER
    );
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotate => f.write_str("annotate"),
            Self::Delete => f.write_str("delete"),
            Self::Rival => f.write_str("rival"),
            Self::Scale(replicas) => write!(f, "scale={replicas}"),
            Self::SetTemplate => f.write_str("template"),
        }
    }
}

impl FromStr for Edit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once('=') {
            Some(("scale", replicas)) => replicas.parse().map(Self::Scale).map_err(|_| ()),
            Some(_) => Err(()),
            None => match text {
                "annotate" => Ok(Self::Annotate),
                "delete" => Ok(Self::Delete),
                "rival" => Ok(Self::Rival),
                "template" => Ok(Self::SetTemplate),
                _ => Err(()),
            },
        }
    }
}
