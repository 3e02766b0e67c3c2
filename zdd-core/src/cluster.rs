//! The port to the cluster: what the engine needs of it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use thiserror::Error;

use crate::event::Progress;
use crate::lease::Epoch;
use crate::rollout::RolloutId;
use crate::snapshot::{Settings, Snapshot};
use crate::step::Step;
use crate::target::Target;
use crate::template::{Change, Template};

/// Reads and writes one cluster.
///
/// The engine reads level-triggered: a snapshot may leave out states in
/// between, but must never be older than one given before by the same stream.
///
/// The trait is async and object-safe because a rollout is given a cluster at
/// run time.
///
/// # Examples
/// A cluster that consists of one value and does at once what it is told:
/// ```
/// use std::sync::Arc;
/// use futures::stream::{BoxStream, StreamExt};
/// use tokio::sync::watch;
/// use zdd_core::*;
///
/// struct Toy(watch::Sender<Snapshot>);
///
/// #[async_trait::async_trait]
/// impl Cluster for Toy {
///     async fn prepare(&self, request: &Request<'_>) -> Result<Prepared, ClusterError> {
///         match request.change {
///             Change::Template(template) => Ok(Prepared::new(self.0.borrow().clone(), template.clone())),
///             other => Err(ClusterError::refused(request.target, format!("cannot {other}"))),
///         }
///     }
///
///     async fn observe(&self, _: &Target) -> Result<Snapshot, ClusterError> {
///         Ok(self.0.borrow().clone())
///     }
///
///     fn watch(&self, _: &Target) -> BoxStream<'static, Result<Snapshot, ClusterError>> {
///         let mut seen = self.0.subscribe();
///         seen.mark_changed();
///         futures::stream::unfold(seen, |mut seen| async {
///             seen.changed().await.ok()?;
///             let snapshot = seen.borrow_and_update().clone();
///             Some((Ok(snapshot), seen))
///         })
///         .boxed()
///     }
///
///     async fn apply(&self, step: &Step, _: &Snapshot, _: &Mark<'_>) -> Result<(), ClusterError> {
///         self.0.send_modify(|snapshot| {
///             let workload = snapshot.workload.as_mut().expect("the toy has a workload");
///             if let Step::SetTemplate { template, settings } = step {
///                 workload.template = template.clone();
///                 workload.settings = settings.or(&workload.settings);
///                 workload.generation += 1;
///             }
///         });
///         Ok(())
///     }
///
///     async fn fence(&self, _: &Mark<'_>) -> Result<(), ClusterError> {
///         Ok(())
///     }
/// }
///
/// # struct Plain;
/// # impl DeploymentStrategy for Plain {
/// #     fn name(&self) -> &str { "plain" }
/// #     fn next(&self, seen: &Observation<'_>) -> Decision {
/// #         let set = Step::SetTemplate { template: seen.template().clone(), settings: Settings::default() };
/// #         if set.holds(seen.snapshot()) { Decision::Finish } else { Decision::Apply(set) }
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), RolloutError> {
/// let old = Template::new(serde_json::json!({ "image": "web:1" }));
/// let new = Template::new(serde_json::json!({ "image": "web:2" }));
/// let mut snapshot = Snapshot::default();
/// let mut workload = Workload::new(Uid::new("1"), Version::new("1"), 1, old);
/// workload.completion = Completion::Complete;
/// snapshot.workload = Some(workload);
///
/// let backend = Backend::new(
///     Arc::new(Toy(watch::channel(snapshot).0)),
///     Arc::new(InMemoryJournal::default()),
///     Arc::new(InMemoryLease::default()),
/// );
/// let target = Target::deployment("default", "web");
/// let report = Rollout::new(backend, target, Change::Template(new), Plain).run().await?;
/// assert_eq!(report.outcome, Outcome::Promoted);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Works out what a change means and checks that it can be made, without changing anything.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when the change cannot be made as the target is.
    async fn prepare(&self, request: &Request<'_>) -> Result<Prepared, ClusterError>;

    /// Reads the present state with full consistency.
    ///
    /// # Errors
    /// [`ClusterError`]; a target that does not exist is a snapshot without a workload.
    async fn observe(&self, target: &Target) -> Result<Snapshot, ClusterError>;

    /// Streams snapshots: one at the start, then one after each change.
    ///
    /// The stream heals itself: after an error item it goes on. It ends only when it is dropped.
    fn watch(&self, target: &Target) -> BoxStream<'static, Result<Snapshot, ClusterError>>;

    /// Makes one step, on condition that the target is still as `seen` shows it.
    ///
    /// Changes of the status since then do not matter; changes of what the target should be do,
    /// and so does a newer fence.
    ///
    /// # Cancel safety
    /// After a drop the step may or may not have been made.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] when the target is not as seen; [`ClusterError::Unknown`] when
    /// the step may or may not have been made.
    async fn apply(
        &self,
        step: &Step,
        seen: &Snapshot,
        mark: &Mark<'_>,
    ) -> Result<(), ClusterError>;

    /// Makes every later write of drivers with a lower epoch fail.
    ///
    /// # Errors
    /// [`ClusterError::Fenced`] when a driver with a higher epoch has been here;
    /// [`ClusterError::Refused`] when the target does not exist.
    async fn fence(&self, mark: &Mark<'_>) -> Result<(), ClusterError>;

    /// Tells the cluster's users about progress, as far as the cluster has a place for it.
    ///
    /// A failure is not an error of the rollout: implementations log it.
    async fn announce(&self, _mark: &Mark<'_>, _progress: &Progress) {}
}

/// Who writes: goes into every write, for the fence and for people who look at the objects.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Mark<'a> {
    /// The workload.
    pub target: &'a Target,
    /// The rollout.
    pub rollout: &'a RolloutId,
    /// The driver's fencing token.
    pub epoch: Epoch,
}

impl<'a> Mark<'a> {
    /// Makes a mark.
    #[must_use]
    pub fn new(target: &'a Target, rollout: &'a RolloutId, epoch: Epoch) -> Self {
        Self { target, rollout, epoch }
    }
}

/// A change that is to be prepared.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The workload.
    pub target: &'a Target,
    /// The rollout that is to be.
    pub rollout: &'a RolloutId,
    /// The change.
    pub change: &'a Change,
    /// The knobs that the strategy will set.
    pub settings: &'a Settings,
    /// The seconds that a pod must be given to end, at least, for its drain.
    pub drain_seconds: Option<u32>,
}

impl<'a> Request<'a> {
    /// Makes a request.
    #[must_use]
    pub fn new(
        target: &'a Target,
        rollout: &'a RolloutId,
        change: &'a Change,
        settings: &'a Settings,
    ) -> Self {
        Self { target, rollout, change, settings, drain_seconds: None }
    }
}

/// What a change means for the target as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The state that the change was worked out on.
    pub snapshot: Snapshot,
    /// The new template, as the cluster would store it.
    pub template: Template,
    /// What a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// Makes the result.
    #[must_use]
    pub fn new(snapshot: Snapshot, template: Template) -> Self {
        Self { snapshot, template, warnings: Vec::new() }
    }
}

/// The cause of an error, from whatever the adapter is built on.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What went wrong between the engine and the cluster.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The target is not as it was seen: nothing was written.
    #[error("{object} was changed by someone else in the meantime")]
    Conflict {
        /// The object.
        object: String,
    },
    /// A driver with a higher epoch is at work: nothing was written.
    #[error("{object} is driven by another rollout (epoch {newer}); this one must stop")]
    Fenced {
        /// The object.
        object: String,
        /// The other driver's epoch.
        newer: Epoch,
    },
    /// The cluster does not allow it: nothing was written.
    #[error("not allowed to {action} {object}; grant it, as in the manifest of the minimal role")]
    Forbidden {
        /// The verb.
        action: String,
        /// The object.
        object: String,
        /// The cluster's answer.
        source: Cause,
    },
    /// The change cannot be made, whoever tries how often: nothing was written.
    #[error("{object}: {problem}")]
    Refused {
        /// The object.
        object: String,
        /// What is wrong and what to do.
        problem: String,
        /// The cluster's answer, where it gave one.
        #[source]
        source: Option<Cause>,
    },
    /// The cluster does not accept the credentials: nothing was written.
    ///
    /// They may be wrong, or run out and about to be renewed; a server that cannot check them for
    /// the moment says the same.
    #[error("failed to {action} {object}: the cluster does not accept the credentials; renew them")]
    Unauthorized {
        /// The verb.
        action: String,
        /// The object.
        object: String,
        /// The cluster's answer.
        source: Cause,
    },
    /// The cluster did not answer, or answered that it cannot right now: nothing was written.
    #[error("failed to {action} {object}")]
    Unavailable {
        /// The verb.
        action: String,
        /// The object.
        object: String,
        /// What happened.
        source: Cause,
    },
    /// A write may or may not have happened.
    #[error("failed to learn whether it happened: {action} {object}")]
    Unknown {
        /// The verb.
        action: String,
        /// The object.
        object: String,
        /// What happened.
        source: Cause,
    },
}

impl ClusterError {
    /// Refuses a change.
    #[must_use]
    pub fn refused(object: &impl ToString, problem: impl Into<String>) -> Self {
        Self::Refused { object: object.to_string(), problem: problem.into(), source: None }
    }

    /// Tells whether another try, after a fresh look, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. }
            | Self::Unauthorized { .. }
            | Self::Unavailable { .. }
            | Self::Unknown { .. } => true,
            Self::Fenced { .. } | Self::Forbidden { .. } | Self::Refused { .. } => false,
        }
    }
}
