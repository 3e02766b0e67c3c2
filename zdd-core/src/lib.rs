//! Vocabulary, traits and crash-safe rollout engine for zero-downtime deployments.
//!
//! "Zero downtime" means that no request fails during a deployment, not that
//! the service is up somewhere.
//!
//! This crate performs no I/O of its own and names no Kubernetes type. A
//! [`Rollout`] is put together from ports ([`Cluster`], [`Journal`],
//! [`Lease`]), a [`DeploymentStrategy`] and [`HealthGate`]s, and driven by one
//! loop:
//!
//! ```text
//! observe ─▶ gates ─▶ strategy ─▶ invariants ─▶ journal ─▶ apply ─▶ verify ─▶ journal ─▶ …
//!  watch      I/O       pure         pure        intent     I/O      pure      fact
//! ```

mod amount;
mod clock;
mod cluster;
mod error;
mod event;
mod gate;
mod handle;
pub mod invariant;
mod journal;
mod lease;
mod metrics;
mod observation;
mod outcome;
mod retry;
mod rollout;
mod snapshot;
mod standstill;
mod state;
mod step;
mod strategy;
mod target;
mod template;
mod tracker;
pub mod unwind;

pub use amount::{Amount, InvalidAmount, Part};
pub use clock::{Clock, elapsed, later};
pub use cluster::{Cause, Cluster, ClusterError, Mark, Prepared, Request};
pub use error::{RolloutError, chain};
pub use event::{Progress, ProgressKind};
pub use gate::{
    GateContext, GatePolicy, GateRecord, GateRecords, HealthGate, Judgement, OnInconclusive, Side,
    Verdict, judge,
};
pub use handle::{Command, Handle, NotRunning};
pub use journal::{Baseline, Entry, Event, InMemoryJournal, Journal, JournalError, Log, Start};
pub use lease::{Epoch, InMemoryLease, Lease, LeaseError, Tenure};
pub use metrics::{MetricsError, MetricsSource, Query, Sample};
pub use observation::Observation;
pub use outcome::{Outcome, PhaseTime, Reason, Report, Superseder};
pub use retry::RetryPolicy;
pub use rollout::{Backend, Plan, PlanItem, Rollout, RolloutId};
pub use snapshot::{
    Completion, Counts, Pod, RevisionHash, Service, Settings, Snapshot, Trouble, TroubleKind, Uid,
    Version, Workload,
};
pub use standstill::Standstill;
pub use state::{IllegalTransition, Intervention, Phase, State};
pub use step::{Inverse, Step};
pub use strategy::{Decision, DeploymentStrategy, Gating, Milestone, Wait};
pub use target::{Target, WorkloadKind};
pub use template::{Change, Template};
pub use tracker::Tracker;
