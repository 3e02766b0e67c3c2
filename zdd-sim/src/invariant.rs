//! Checks that run at every event of a cluster, for the fault harness.
//!
//! A check at the end sees the outcome; these see the moment at which a rule was
//! broken, also when everything is well again a millisecond later. They are
//! values: a harness attaches those that it wants, and reads the violations.

mod fields;
mod rate;
mod selector;
mod serving;
mod summary;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::dataplane::routes::Routes;
use crate::dataplane::servers::Servers;
use crate::store::{Entry, Store};

pub use fields::OwnedFields;
pub use rate::CallRate;
pub use selector::ProvenSelector;
pub use serving::{ReadyFloor, ServingFloor};
pub use summary::{EndState, Summary};

/// A rule about every moment of a cluster.
pub trait Invariant: fmt::Debug + Send {
    /// Returns the name under which violations are reported.
    fn name(&self) -> &str;

    /// Checks the rule at one moment; called for each write, and for each change of the data
    /// plane.
    ///
    /// # Errors
    /// What is broken, in words.
    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String>;
}

/// What changed, with everything as it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Moment<'a> {
    /// The write; `None` when the data plane changed.
    pub write: Option<&'a Entry>,
    /// The store; it may be some writes ahead of `write`, when several came at the same time.
    pub store: &'a Store,
    /// The routes of the data plane.
    pub routes: &'a Routes,
    /// The time.
    pub now: Instant,
    servers: &'a Servers,
}

impl<'a> Moment<'a> {
    pub(crate) fn new(
        write: Option<&'a Entry>,
        (store, routes): (&'a Store, &'a Routes),
        now: Instant,
        servers: &'a Servers,
    ) -> Self {
        Self { write, store, routes, now, servers }
    }

    /// Tells whether what stands behind a simulated pod's address answers requests. Of other
    /// addresses the cluster does not know, and says yes.
    #[must_use]
    pub fn serves(&self, ip: IpAddr) -> bool {
        self.servers.serves(ip)
    }

    /// Returns the wall clock.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.store.clock().at(self.now)
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: String,
    /// What was broken.
    pub message: String,
    /// The store's revision at that moment.
    pub revision: u64,
    /// How long the cluster had existed.
    pub after: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, message, revision, after } = self;
        write!(f, "{invariant} at revision {revision}, {after:.3?} in: {message}")
    }
}

/// A set of invariants with what they found.
#[derive(Debug)]
pub(crate) struct Invariants {
    watched: Vec<Box<dyn Invariant>>,
    violations: Vec<Violation>,
    origin: Instant,
}

impl Invariants {
    /// A broken rule often stays broken; so many reports tell enough.
    const LIMIT: usize = 100;

    pub(crate) fn new() -> Self {
        Self { watched: Vec::new(), violations: Vec::new(), origin: Instant::now() }
    }

    pub(crate) fn watch(&mut self, invariant: Box<dyn Invariant>) {
        self.watched.push(invariant);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn check(&mut self, moment: &Moment<'_>) {
        for invariant in &mut self.watched {
            let Err(message) = invariant.check(moment) else { continue };
            if self.violations.len() < Self::LIMIT {
                self.violations.push(Violation {
                    invariant: invariant.name().to_owned(),
                    message,
                    revision: moment.write.map_or(moment.store.revision(), |entry| entry.revision),
                    after: moment.now.saturating_duration_since(self.origin),
                });
            }
        }
    }
}
