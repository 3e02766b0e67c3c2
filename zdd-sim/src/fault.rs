//! Faults between one client and the API server.
//!
//! A [`Plan`] says which request of the client meets which [`Fault`]; requests are counted from 0
//! in the order in which the client sends them, watches included. A plan is plain text, so that a
//! failing run is replayed by handing the same text to a new run.

mod plan;
mod stream;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use plan::{Fault, Plan, PlanError};
pub(crate) use stream::{delay, drop_after, while_up};

use crate::api::{Freshness, Verb};

/// A request that a client sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Seen {
    /// What was asked.
    pub verb: Verb,
    /// Of which resource, written as in roles: `deployments.apps/scale`.
    pub target: String,
    /// The object's name, empty for collections.
    pub name: String,
    /// How old the answer may be.
    pub freshness: Freshness,
}

impl Seen {
    /// Tells whether the fault can meet this request, by what a real server does: it answers from
    /// the past only where it may lag, and that a revision is gone only to who names one.
    #[must_use]
    pub fn can_meet(&self, fault: &Fault) -> bool {
        let is_from_the_past = matches!(fault, Fault::Stale { .. });
        let is_about_a_revision = matches!(fault, Fault::Gone | Fault::GoneHttp);
        fault.meets(self.verb)
            && (!is_from_the_past || matches!(self.freshness, Freshness::Any { .. }))
            && (!is_about_a_revision || self.freshness == Freshness::Pinned)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.target)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

/// The faults of one client, and a record of its requests.
///
/// Clones share the state: give one to [`crate::ApiServer::with_faults`], keep the other.
///
/// # Examples
/// ```
/// use zdd_sim::{Fault, Faults, Plan};
///
/// let plan: Plan = "2:crash-after,5:error-before=500".parse()?;
/// assert_eq!(plan.get(2), Some(&Fault::CrashAfter));
/// let faults = Faults::new(plan);
/// assert_eq!(faults.requests().len(), 0);
/// # Ok::<(), zdd_sim::PlanError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    seen: Vec<Seen>,
    injected: BTreeMap<usize, Fault>,
}

impl Faults {
    /// Makes the faults of a plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let state = State { plan, seen: Vec::new(), injected: BTreeMap::new() };
        let (crashed, _) = watch::channel(false);
        Self(Arc::new(Shared { state: Mutex::new(state), crashed }))
    }

    /// Makes a record of requests without any fault.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Plan::default())
    }

    /// Returns all requests so far; the index of each is its place in plans.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Returns the faults that were really met. A planned fault is left out when the request did
    /// not come, or was of a kind that the fault cannot meet.
    #[must_use]
    pub fn injected(&self) -> Vec<(usize, Fault)> {
        self.state().injected.iter().map(|(at, fault)| (*at, fault.clone())).collect()
    }

    /// Waits until the client met a crash; the harness then drops it.
    ///
    /// # Cancel safety
    /// Can be dropped and called again.
    pub async fn crashed(&self) {
        let mut crashed = self.0.crashed.subscribe();
        // The sender lives in self: waiting cannot fail while self is borrowed.
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }

    /// Tells whether the client met a crash.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        *self.0.crashed.borrow()
    }

    pub(crate) fn crash(&self) {
        self.0.crashed.send_replace(true);
    }

    /// Counts a request, and returns the fault that it meets.
    pub(crate) fn meet(&self, seen: Seen) -> Option<Fault> {
        let mut state = self.state();
        let at = state.seen.len();
        let fault = state.plan.get(at).filter(|fault| seen.can_meet(fault)).cloned();
        state.seen.push(seen);
        if let Some(fault) = &fault {
            state.injected.insert(at, fault.clone());
        }
        fault
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
