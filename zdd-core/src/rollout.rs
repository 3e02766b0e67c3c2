//! The public entry: what to roll out, with what, and the run itself.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError, Prepared, Request};
use crate::error::RolloutError;
use crate::event::Progress;
use crate::gate::HealthGate;
use crate::handle::{Command, Handle};
use crate::journal::Journal;
use crate::lease::{Epoch, Lease, LeaseError, Tenure};
use crate::outcome::Report;
use crate::retry::RetryPolicy;
use crate::rollout::driver::Course;
use crate::strategy::DeploymentStrategy;
use crate::target::Target;
use crate::template::Change;

mod begin;
mod driver;
mod gating;
mod ledger;
mod phases;
mod plan;
mod takeover;

pub use plan::{Plan, PlanItem};

/// Commands that may wait while the driver is busy.
const COMMANDS: usize = 16;
/// Events that a slow reader may fall behind.
const EVENTS: usize = 256;

/// How a run has lost its lease so far.
#[derive(Debug, Default)]
struct Losses {
    /// The driver that it was.
    epoch: Option<Epoch>,
    /// How often in a row, each time soon after it had been taken.
    times: usize,
}

/// Identifies one rollout in journals, annotations and events.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct RolloutId(String);

impl RolloutId {
    /// Takes an id that the caller chose; it must be unique per rollout.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Makes an id from random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }

    /// Returns the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a rollout works with.
#[derive(Clone)]
#[non_exhaustive]
pub struct Backend {
    /// Reads and writes the cluster.
    pub cluster: Arc<dyn Cluster>,
    /// Keeps the journal.
    pub journal: Arc<dyn Journal>,
    /// Keeps other drivers away.
    pub lease: Arc<dyn Lease>,
}

impl Backend {
    /// Puts the three ports together.
    #[must_use]
    pub fn new(
        cluster: Arc<dyn Cluster>,
        journal: Arc<dyn Journal>,
        lease: Arc<dyn Lease>,
    ) -> Self {
        Self { cluster, journal, lease }
    }

    /// Keeps the journal elsewhere.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = journal;
        self
    }

    /// Keeps the lease elsewhere.
    #[must_use]
    pub fn lease(mut self, lease: Arc<dyn Lease>) -> Self {
        self.lease = lease;
        self
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend(..)")
    }
}

/// One rollout: a change of one target by one strategy under gates.
///
/// # Guarantees
/// - Before [`run`](Self::run) has checked everything that can be known, nothing is written.
/// - What rollback needs is in the journal before the first write to the target.
/// - A process that ends at any point leaves the workload serving; the next run with the same
///   change goes on where it stopped, and a run with another change takes over from the baseline
///   that the first one stored.
pub struct Rollout {
    backend: Backend,
    target: Target,
    change: Change,
    strategy: Arc<dyn DeploymentStrategy>,
    gates: Vec<Arc<dyn HealthGate>>,
    id: RolloutId,
    clock: Clock,
    retry: RetryPolicy,
    cancel: CancellationToken,
    commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    progress: broadcast::Sender<Arc<Progress>>,
}

impl Rollout {
    /// Describes a rollout; nothing happens yet.
    #[must_use]
    pub fn new(
        backend: Backend,
        target: Target,
        change: Change,
        strategy: impl DeploymentStrategy + 'static,
    ) -> Self {
        Self {
            backend,
            target,
            change,
            strategy: Arc::new(strategy),
            gates: Vec::new(),
            id: RolloutId::random(),
            clock: Clock::system(),
            retry: RetryPolicy::default(),
            cancel: CancellationToken::new(),
            commands: mpsc::channel(COMMANDS),
            progress: broadcast::channel(EVENTS).0,
        }
    }

    /// Adds a health gate. Gates are told apart by their names: two of one name are refused.
    #[must_use]
    pub fn gate(mut self, gate: impl HealthGate + 'static) -> Self {
        self.gates.push(Arc::new(gate));
        self
    }

    /// Sets the id, instead of a random one.
    ///
    /// With an id of its own, as that of a pipeline run, a rollout that has ended is not begun again
    /// by a process that was restarted: [`run`](Self::run) reports how it ended.
    #[must_use]
    pub fn id(mut self, id: RolloutId) -> Self {
        self.id = id;
        self
    }

    /// Sets the clock, instead of the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how often the engine tries again when the cluster does not answer.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Stops the run when the token is cancelled, with [`RolloutError::Cancelled`].
    #[must_use]
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// Returns a handle for commands and progress.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.commands.0.clone(), &self.progress)
    }

    /// Works out what the rollout would do, without writing anything.
    ///
    /// # Cancel safety
    /// Cancel safe.
    ///
    /// # Errors
    /// As for [`run`](Self::run), as far as it can be known before the first write.
    pub async fn plan(&self) -> Result<Plan, RolloutError> {
        self.supported()?;
        let prepared = self.prepare().await?;
        let inherited_pause = self.inherits_pause(&prepared).await?;
        Plan::simulate(self, prepared, inherited_pause)
    }

    /// Rolls out.
    ///
    /// A lease that runs out because the cluster does not answer is taken again, and the rollout
    /// goes on, unless another driver has been at work meanwhile.
    ///
    /// # Cancel safety
    /// Dropping the future is the same as a crash: nothing is lost, the workload keeps serving, and
    /// another run goes on. The lease then has to run out; cancel with
    /// [`cancel_on`](Self::cancel_on) to give it back.
    ///
    /// # Errors
    /// [`RolloutError`] when the engine could not know or act. A rollout that was rolled back is
    /// not an error but an [`Outcome`](crate::Outcome).
    pub async fn run(mut self) -> Result<Report, RolloutError> {
        self.supported()?;
        // The sender goes too: a handle is told that the rollout is over when the receiver is gone.
        let (_, commands) = std::mem::replace(&mut self.commands, mpsc::channel(1));
        let mut course = Course::new(commands, self.clock.now());
        let mut lost = Losses::default();
        loop {
            let tenure = self.tenure(&lost).await?;
            let (cancel, since) = (self.cancel.clone(), Instant::now());
            let ended = tokio::select! {
                biased;
                () = cancel.cancelled() => Some(Err(self.cancelled())),
                () = tenure.lost() => None,
                report = self.drive(tenure.epoch(), lost.epoch, &mut course) => Some(report),
            };
            if let Some(result) = ended {
                tenure.release().await;
                return result;
            }
            tracing::warn!(target = %self.target, "the lease was lost");
            let lasted = since.elapsed() > self.retry.longest;
            let times = if lasted { 0 } else { lost.times + 1 };
            lost = Losses { epoch: Some(tenure.epoch()), times };
        }
    }

    /// Takes the lease, for the first time or again.
    async fn tenure(&self, lost: &Losses) -> Result<Tenure, RolloutError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.cancelled()),
            tenure = self.acquire(lost) => tenure,
        }
    }

    async fn acquire(&self, lost: &Losses) -> Result<Tenure, RolloutError> {
        let lease = &self.backend.lease;
        if lost.epoch.is_none() {
            let tenure = lease.acquire(&self.target).await;
            return tenure.map_err(|source| RolloutError::lease(&self.target, source));
        }
        let another = || RolloutError::Lost { target: self.target.clone() };
        tokio::time::sleep(self.retry.pause(lost.times).ok_or_else(another)?).await;
        let again =
            |error: &LeaseError| error.is_retryable() && !matches!(error, LeaseError::Held { .. });
        self.retry.run(again, || lease.acquire(&self.target)).await.map_err(|error| match error {
            LeaseError::Held { .. } => another(),
            LeaseError::Cluster { .. } => RolloutError::lease(&self.target, error),
        })
    }

    fn supported(&self) -> Result<(), RolloutError> {
        let supported = self.strategy.supports(self.target.kind);
        supported.and_then(|()| self.gates_apart()).map_err(|problem| RolloutError::Unsupported {
            target: self.target.clone(),
            strategy: self.strategy.name().to_owned(),
            problem,
        })
    }

    /// The verdicts of two gates of one name would hide each other.
    fn gates_apart(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        match self.gates.iter().map(|gate| gate.name()).find(|name| !names.insert(*name)) {
            Some(name) => Err(format!("two gates are named {name}; give each a name of its own")),
            None => Ok(()),
        }
    }

    fn cancelled(&self) -> RolloutError {
        RolloutError::Cancelled { target: self.target.clone() }
    }

    async fn prepare(&self) -> Result<Prepared, RolloutError> {
        let settings = self.strategy.settings(self.target.kind);
        let mut request = Request::new(&self.target, &self.id, &self.change, &settings);
        request.drain_seconds = self.strategy.drain_seconds();
        // Wrong credentials are told at once, while nothing has begun.
        let again = |error: &ClusterError| {
            error.is_retryable() && !matches!(error, ClusterError::Unauthorized { .. })
        };
        let prepared = self.retry.run(again, || self.backend.cluster.prepare(&request)).await;
        prepared.map_err(|source| RolloutError::cluster(&self.target, source))
    }
}

impl fmt::Debug for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rollout")
            .field("id", &self.id)
            .field("target", &self.target)
            .field("change", &self.change)
            .field("strategy", &self.strategy.name())
            .finish_non_exhaustive()
    }
}

// A rollout can run on any executor.
const _: fn(Rollout) = |rollout| {
    fn is_send(_: impl Send) {}
    is_send(rollout.run());
};
