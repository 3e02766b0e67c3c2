//! What was seen of the cluster at one moment: facts, no judgement.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Part};
use crate::lease::Epoch;
use crate::template::Template;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the name as the cluster gave it.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The identity of one object for its whole life; a re-created object has another.
    Uid
);
name!(
    /// The hash that marks the pods of one revision of a template.
    RevisionHash
);
name!(
    /// The state of one object: equal versions mean that nothing was written in between.
    Version
);

/// The cluster as it was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The target; `None` when it does not exist.
    pub workload: Option<Workload>,
    /// All pods that the target owns, terminating ones too.
    pub pods: Vec<Pod>,
    /// The Services that select the target's pods.
    pub services: Vec<Service>,
}

/// The target's own state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Workload {
    /// Identity.
    pub uid: Uid,
    /// Version for optimistic concurrency.
    pub version: Version,
    /// Counts the changes of the desired state.
    pub generation: i64,
    /// The desired pod template.
    pub template: Template,
    /// The revision that the desired template gives; `None` until the controller has made it.
    pub revision: Option<RevisionHash>,
    /// Desired number of pods.
    pub replicas: u32,
    /// Whether the controller is told to leave the pods alone: a Deployment that is paused, another
    /// kind whose update strategy is `OnDelete`.
    pub paused: bool,
    /// The knobs of the rolling update.
    pub settings: Settings,
    /// How many pods there are.
    pub counts: Counts,
    /// Whether the controller has finished rolling the desired template out.
    pub completion: Completion,
    /// Why the controller cannot create pods, in the cluster's words: quota, admission.
    pub replica_failure: Option<String>,
    /// The newest driver that has fenced this object.
    pub epoch: Option<Epoch>,
}

/// The knobs of a rolling update. `None` where the kind has no such knob.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Settings {
    /// How many pods may exist beyond the desired number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<Amount>,
    /// How many pods may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<Part>,
    /// Seconds that a pod must be ready before it counts as available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<u32>,
    /// Ordinals below this keep the old template (StatefulSet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
}

/// Numbers of pods as the controller counts them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Counts {
    /// Pods that are not terminating.
    pub total: u32,
    /// Of those, pods of the desired template.
    pub updated: u32,
    /// Of those, ready pods.
    pub ready: u32,
    /// Of those, pods that were ready long enough.
    pub available: u32,
}

/// Whether the controller has finished.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Completion {
    /// The desired template is everywhere and available, and the status is of this generation.
    Complete,
    /// The controller gave up on progress by its own deadline.
    DeadlineExceeded {
        /// The controller's message.
        message: String,
    },
    /// The controller has not looked at the present generation.
    Unobserved,
    /// It is still at it.
    Waiting {
        /// What is missing, in words.
        what: String,
    },
}

/// One pod of the target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pod {
    /// Identity.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// The revision it runs; `None` when it carries no mark.
    pub revision: Option<RevisionHash>,
    /// Whether it says that it is ready.
    pub ready: bool,
    /// Whether it has been told to end.
    pub terminating: bool,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
}

/// What keeps a pod from running, in the cluster's words.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: TroubleKind,
    /// The container, where one is to blame.
    pub container: Option<String>,
    /// The cluster's message.
    pub message: String,
    /// How often the container was restarted.
    pub restarts: u32,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "container {container}: ")?;
        }
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// The kinds of trouble that a policy can tell apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum TroubleKind {
    /// The container ends again and again, or ended with an error.
    Crash,
    /// The container cannot be configured: a missing ConfigMap, Secret or key.
    Config,
    /// The image cannot be pulled.
    Image,
    /// The container runtime refuses to run it.
    Run,
    /// No node takes it; an autoscaler may help.
    Unschedulable,
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Config => "configuration",
            Self::Image => "image",
            Self::Run => "run",
            Self::Unschedulable => "unschedulable",
        })
    }
}

/// A Service that selects the target's pods, and what its endpoints show.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Service {
    /// Name, in the target's namespace.
    pub name: String,
    /// The pods that get new connections: those of the target, and those that its
    /// endpoints still name although the pod is gone; never pods of other workloads.
    pub ready: BTreeSet<Uid>,
}

impl Workload {
    /// Describes a workload that its controller has not looked at yet; fill in the rest.
    #[must_use]
    pub fn new(uid: Uid, version: Version, generation: i64, template: Template) -> Self {
        Self {
            uid,
            version,
            generation,
            template,
            revision: None,
            replicas: 1,
            paused: false,
            settings: Settings::default(),
            counts: Counts::default(),
            completion: Completion::Unobserved,
            replica_failure: None,
            epoch: None,
        }
    }
}

impl Pod {
    /// Describes a pod that is not ready; fill in the rest.
    #[must_use]
    pub fn new(uid: Uid, name: impl Into<String>, revision: Option<RevisionHash>) -> Self {
        Self { uid, name: name.into(), revision, ready: false, terminating: false, trouble: None }
    }
}

impl Trouble {
    /// Describes what keeps a pod from running.
    #[must_use]
    pub fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, container: None, message: message.into(), restarts: 0 }
    }
}

impl Service {
    /// Describes a Service and the pods of the target that get its new connections.
    #[must_use]
    pub fn new(name: impl Into<String>, ready: BTreeSet<Uid>) -> Self {
        Self { name: name.into(), ready }
    }
}

impl Snapshot {
    /// Returns the pods of the revision that the desired template gives.
    pub fn updated(&self) -> impl Iterator<Item = &Pod> {
        let revision = self.workload.as_ref().and_then(|workload| workload.revision.as_ref());
        self.pods.iter().filter(move |pod| revision.is_some() && pod.revision.as_ref() == revision)
    }

    /// Tells whether the controller has rolled the desired template out, and the pods and the
    /// endpoints that were seen bear it out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let complete = |workload: &Workload| workload.completion == Completion::Complete;
        self.workload.as_ref().is_some_and(complete)
            && self.pods_follow()
            && self.endpoints_follow()
    }

    /// Tells whether as many pods of the desired template are ready as should be, and no others
    /// but those that a partition keeps.
    ///
    /// The controller says so too, in its status; but the news of the pods and of the endpoints may
    /// both be older than that of the status, and then agree with each other on what is over.
    #[must_use]
    pub fn pods_follow(&self) -> bool {
        let Some(workload) = &self.workload else {
            return false;
        };
        let ready = || self.pods.iter().filter(|pod| pod.ready && !pod.terminating);
        let enough = |count: usize, wanted: u32| u32::try_from(count).unwrap_or(u32::MAX) >= wanted;
        // Which pods are new cannot be told: all that can be seen is whether there are enough.
        let Some(revision) = &workload.revision else {
            return enough(ready().count(), workload.replicas);
        };
        let kept = workload.settings.partition.unwrap_or(0).min(workload.replicas);
        let is_new = |pod: &&Pod| pod.revision.as_ref() == Some(revision);
        enough(ready().filter(is_new).count(), workload.replicas - kept)
            && (kept > 0 || ready().all(|pod| is_new(&pod)))
    }

    /// Tells whether the endpoints of every Service show exactly the target's ready pods.
    ///
    /// Terminating pods may linger in the list of pods, but not among the ready endpoints.
    #[must_use]
    pub fn endpoints_follow(&self) -> bool {
        let wanted: BTreeSet<&Uid> = self
            .pods
            .iter()
            .filter(|pod| pod.ready && !pod.terminating)
            .map(|pod| &pod.uid)
            .collect();
        self.services.iter().all(|service| service.ready.iter().collect::<BTreeSet<_>>() == wanted)
    }
}
