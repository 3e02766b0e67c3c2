//! What is rolled out, by what, and how it should end.

use std::fmt;
use std::sync::Arc;

use zdd_core::{Backend, DeploymentStrategy, Target, WorkloadKind};
use zdd_sim::{Behaviour, ClusterBuilder, Images};

/// How a rollout should end when nothing but faults of the API disturbs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a rollout goes forward or back")]
pub enum Goal {
    /// The new version serves alone.
    Promoted,
    /// The old version serves alone.
    RolledBack,
}

type MakeStrategy = dyn Fn() -> Arc<dyn DeploymentStrategy> + Send + Sync;
type Wrap = dyn Fn(Backend) -> Backend + Send + Sync;

/// One rollout that the harness repeats under faults.
#[derive(Clone)]
pub struct Scenario {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) replicas: u32,
    pub(crate) image: String,
    pub(crate) goal: Goal,
    pub(crate) strategy: Arc<MakeStrategy>,
    pub(crate) wrap: Arc<Wrap>,
}

impl Scenario {
    /// Rolls a Deployment of three pods to a good version.
    #[must_use]
    pub fn new<S: DeploymentStrategy + 'static>(
        name: impl Into<String>,
        strategy: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            target: Target::deployment("default", "web"),
            replicas: 3,
            image: "web:2".to_owned(),
            goal: Goal::Promoted,
            strategy: Arc::new(move || Arc::new(strategy())),
            wrap: Arc::new(|backend| backend),
        }
    }

    /// Rolls another kind of workload.
    #[must_use]
    pub fn kind(mut self, kind: WorkloadKind) -> Self {
        self.target.kind = kind;
        self
    }

    /// Sets the number of pods. A DaemonSet has one on each of three nodes.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Rolls to a bad version: `web:crash`, `web:never-ready`, or `web:missing`.
    #[must_use]
    pub fn to_bad(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self.goal = Goal::RolledBack;
        self
    }

    /// Puts something between the engine and the cluster, as a deliberately broken adapter.
    #[must_use]
    pub fn wrapped(mut self, wrap: impl Fn(Backend) -> Backend + Send + Sync + 'static) -> Self {
        self.wrap = Arc::new(wrap);
        self
    }

    /// Returns the scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster of one run: every good image serves through its own end.
    pub(crate) fn cluster(seed: u64) -> ClusterBuilder {
        let images = Images::new()
            .with("web:1", Behaviour::default())
            .with("web:2", Behaviour::default())
            .with("web:3", Behaviour::default())
            .with("web:4", Behaviour::default())
            .with("web:crash", Behaviour::crashing())
            .with("web:never-ready", Behaviour::never_ready());
        zdd_sim::Cluster::builder().seed(seed).images(images).without_events()
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("replicas", &self.replicas)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}
