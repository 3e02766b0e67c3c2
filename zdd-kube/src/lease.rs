//! One driver per target, by a Lease object.

mod record;
mod renewal;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zdd_core::{Clock, ClusterError, Epoch, Lease, LeaseError, Target, Tenure};

use crate::observe::read_workload;
use crate::preflight;
use crate::requests::Requests;
use crate::snapshot::epoch;
use record::{Record, Records};
use renewal::Renewal;

/// How long a lease is valid unless it is set.
const DURATION: Duration = Duration::from_secs(30);
/// How often the cluster is asked again when it does not answer.
const TRIES: u32 = 10;
/// A lease that is valid for longer is not waited for.
const LONGEST: Duration = Duration::from_secs(300);

/// Keeps a Lease beside each target: `zdd-deployment-web`.
///
/// The epoch is `leaseTransitions`: it grows with each driver, also when a driver comes back under
/// the same name.
///
/// Whether a holder is alive is judged by what is seen here, never by comparing clocks: a lease
/// that does not change for its whole duration has run out.
#[derive(Clone)]
pub struct KubeLease {
    requests: Requests,
    duration: Duration,
    holder: String,
    clock: Clock,
}

impl KubeLease {
    /// Keeps leases in the cluster of a client; make it with [`client`](crate::client).
    #[must_use]
    pub fn new(client: Client) -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_default();
        let holder = if host.is_empty() { "zdd".to_owned() } else { host };
        Self { requests: Requests::new(client), duration: DURATION, holder, clock: Clock::system() }
    }

    /// Sets how long a lease is valid, 30 s unless set; it is renewed at a third of that.
    ///
    /// Below 3 s, 3 s are taken: the API counts in whole seconds.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = Duration::from_secs(duration.as_secs().max(3));
        self
    }

    /// Names this process to others that want the lease; the host's name unless set.
    #[must_use]
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.holder = name.into();
        self
    }

    /// Sets how long a request may take, 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.requests.set_timeout(timeout);
        self
    }
}

impl fmt::Debug for KubeLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeLease")
            .field("holder", &self.holder)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lease for KubeLease {
    async fn acquire(&self, target: &Target) -> Result<Tenure, LeaseError> {
        // Each tenure has a name of its own: a write with an unknown outcome is told by it.
        let holder = format!("{}-{:016x}", self.holder, fastrand::u64(..));
        let records =
            Records::new(self.requests.clone(), target, holder, self.duration, self.clock);
        let mut candidacy = Candidacy { records, target, watched: None };
        let mut failures = 0;
        loop {
            let error = match candidacy.stand().await {
                Ok(Standing::Elected(record, sent)) => return Ok(candidacy.begin(record, sent)),
                Ok(Standing::Held(holder)) => {
                    return Err(LeaseError::Held { target: target.clone(), holder });
                }
                Ok(Standing::Wait(pause)) => {
                    failures = 0;
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Err(error) => error,
            };
            failures += 1;
            // Wrong credentials are told at once: a rollout begins with its lease.
            let wrong = matches!(error, ClusterError::Unauthorized { .. });
            if wrong || !error.is_retryable() || failures >= TRIES {
                return Err(LeaseError::Cluster { target: target.clone(), source: error });
            }
            tokio::time::sleep(pause(failures)).await;
        }
    }
}

/// Returns the pause after so many failures in a row.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(50).saturating_mul(1 << failures.min(10)).min(Duration::from_secs(5))
}

/// A try to get the lease.
struct Candidacy<'a> {
    records: Records,
    target: &'a Target,
    /// The record of a holder that may be dead, and since when it has not changed.
    watched: Option<(Record, Instant)>,
}

enum Standing {
    /// The lease is ours, by a request sent then.
    Elected(Record, Instant),
    /// Its holder is alive.
    Held(String),
    /// Its holder may be dead: look again after that time.
    Wait(Duration),
}

impl Candidacy<'_> {
    /// Looks at the lease, and takes it when it is free.
    async fn stand(&mut self) -> Result<Standing, ClusterError> {
        let sent = Instant::now();
        let Some(record) = self.records.read().await? else {
            let epoch = self.first_epoch().await?;
            let sent = Instant::now();
            return Ok(Standing::Elected(self.records.create(epoch).await?, sent));
        };
        if record.holder.as_deref() == Some(self.records.holder()) {
            // An earlier request did it.
            return Ok(Standing::Elected(record, sent));
        }
        let Some(holder) = record.holder.clone() else {
            return self.take(&record).await;
        };
        if record.duration > LONGEST {
            return Ok(Standing::Held(holder));
        }
        let now = Instant::now();
        match &self.watched {
            Some((before, _)) if before.version != record.version => Ok(Standing::Held(holder)),
            Some((_, since)) if now.duration_since(*since) >= record.duration => {
                self.take(&record).await
            }
            _ => {
                // An alive holder renews at a third of the duration, or whatever it is set to:
                // looking in between tells soon.
                let since = self.watched.as_ref().map_or(now, |(_, since)| *since);
                let left = record.duration.saturating_sub(now.duration_since(since));
                let pause = (record.duration / 3).min(left).max(Duration::from_millis(100));
                self.watched = Some((record, since));
                Ok(Standing::Wait(pause))
            }
        }
    }

    async fn take(&self, record: &Record) -> Result<Standing, ClusterError> {
        let sent = Instant::now();
        Ok(Standing::Elected(self.records.take(record).await?, sent))
    }

    /// Returns the epoch for a new lease. Someone may have deleted the one that was there: then the
    /// target still knows its last driver, and would refuse one that counts from the beginning.
    async fn first_epoch(&self) -> Result<Epoch, ClusterError> {
        let requests = self.records.requests();
        let Some(workload) = read_workload(requests, self.target).await? else {
            // A lease for nothing would only be left behind.
            return Err(preflight::missing(requests, self.target).await);
        };
        let last = epoch(&workload.meta).unwrap_or_default();
        Ok(Epoch::new(last.get() + 1))
    }

    fn begin(self, record: Record, sent: Instant) -> Tenure {
        let epoch = record.epoch;
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let renewal = Renewal::new(self.records.clone(), record, sent);
        let mut task = JoinSet::new();
        task.spawn(renewal.run(lost.clone(), stop.clone()));
        let records = self.records;
        let ended = stop.clone();
        Tenure::new(epoch, lost, stop, async move {
            ended.cancel();
            // Dropping this future instead aborts the task: the set owns it.
            if let Some(Ok(Some(record))) = task.join_next().await {
                records.release(record).await;
            }
        })
    }
}
