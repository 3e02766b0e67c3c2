//! One driver per target.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::ClusterError;
use crate::target::Target;

/// Counts the drivers that a target has had: the fencing token of all writes.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Wraps the number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Keeps two drivers from working on one target.
///
/// A lease only avoids contention. Safety comes from the journal and the
/// fence: a driver that lost its lease without noticing finds its next write
/// refused.
///
/// The trait is async and object-safe because a rollout is given one at run
/// time.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Takes the lease of a target, waiting for a dead holder's lease to run out.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the lease taken; it runs out by itself.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when another driver is alive.
    async fn acquire(&self, target: &Target) -> Result<Tenure, LeaseError>;
}

/// A lease that is held: it is renewed until this value is released or dropped.
#[derive(Debug)]
#[must_use]
pub struct Tenure {
    epoch: Epoch,
    lost: CancellationToken,
    release: Mutex<Option<Release>>,
    _stop_renewal: DropGuard,
}

type ReleaseFuture = futures::future::BoxFuture<'static, ()>;

struct Release(ReleaseFuture);

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Release(..)")
    }
}

impl Tenure {
    /// Makes a tenure.
    ///
    /// `lost` is cancelled by the implementation when it can no longer prove that it holds the
    /// lease; `stop_renewal` is cancelled here when the tenure ends; `release` gives the lease up.
    pub fn new(
        epoch: Epoch,
        lost: CancellationToken,
        stop_renewal: CancellationToken,
        release: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let release = Mutex::new(Some(Release(Box::pin(release))));
        Self { epoch, lost, release, _stop_renewal: stop_renewal.drop_guard() }
    }

    /// Returns this driver's number.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Waits until the lease is lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Gives the lease up, so that the next driver need not wait for it to run out.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lease to run out.
    pub async fn release(self) {
        let release = self.release.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Release(release)) = release {
            release.await;
        }
    }
}

/// Why a lease could not be taken.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The cluster did not answer as it should.
    #[error("failed to take the lease of {target}")]
    Cluster {
        /// The workload.
        target: Target,
        /// What happened.
        source: ClusterError,
    },
    /// Another driver holds it and is alive.
    #[error("{target} is being rolled out by {holder}; wait for it, or abort that rollout first")]
    Held {
        /// The workload.
        target: Target,
        /// The other driver's identity.
        holder: String,
    },
}

impl LeaseError {
    /// Tells whether another try, later, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cluster { source, .. } => source.is_retryable(),
            Self::Held { .. } => true,
        }
    }
}

/// Leases within one process, for tests and for tools that are the only driver there is.
///
/// Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct InMemoryLease {
    held: Arc<Mutex<BTreeMap<Target, (u64, bool)>>>,
}

#[async_trait]
impl Lease for InMemoryLease {
    async fn acquire(&self, target: &Target) -> Result<Tenure, LeaseError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (epoch, taken) = held.entry(target.clone()).or_default();
        if *taken {
            let holder = "another rollout in this process".to_owned();
            return Err(LeaseError::Held { target: target.clone(), holder });
        }
        *epoch += 1;
        *taken = true;
        let guard = Returned { held: Arc::clone(&self.held), target: target.clone() };
        let token = CancellationToken::new();
        Ok(Tenure::new(
            Epoch(*epoch),
            token.clone(),
            token.child_token(),
            async move { drop(guard) },
        ))
    }
}

/// Gives the lease back also when the tenure is dropped without release.
struct Returned {
    held: Arc<Mutex<BTreeMap<Target, (u64, bool)>>>,
    target: Target,
}

impl Drop for Returned {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, taken)) = held.get_mut(&self.target) {
            *taken = false;
        }
    }
}
