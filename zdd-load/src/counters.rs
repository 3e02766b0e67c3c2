//! Live counts, shared by the workers and whoever watches.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use serde::{Deserialize, Serialize};

use crate::{
    cause::{Cause, Failure},
    histogram::Histogram,
    http1::Idle,
    report::FailureSample,
};

/// How many failures are kept with their detail; the counts are complete in any case.
const SAMPLES: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: AtomicU64,
    ok: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) told_to_close: AtomicU64,
    pub(crate) closed_idle: AtomicU64,
    pub(crate) reset_idle: AtomicU64,
    pub(crate) failed_reused: AtomicU64,
    causes: [AtomicU64; Cause::ALL.len()],
    labels: Mutex<BTreeMap<String, u64>>,
    samples: Mutex<Vec<FailureSample>>,
    pub(crate) latencies: Histogram,
}

/// A cheap handle to the live counts of a run; for progress bars.
#[derive(Clone, Debug)]
pub struct Meter(pub(crate) Arc<Counters>);

/// The counts of a run at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Requests begun, those in flight included.
    pub sent: u64,
    /// Requests with a complete response of status 1xx to 3xx.
    pub ok: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Failures by cause; causes that did not occur are left out.
    pub causes: BTreeMap<Cause, u64>,
    /// Complete responses by the value of the label header.
    pub labels: BTreeMap<String, u64>,
}

impl Snapshot {
    /// Returns how many requests have no outcome yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.ok + self.failed)
    }
}

impl Meter {
    /// Reads the counts.
    ///
    /// # Guarantees
    /// `ok + failed <= sent`: a request is never seen ended before it is seen begun.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

impl Counters {
    pub(crate) fn begin(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn open(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(crate) fn told_to_close(&self) {
        self.told_to_close.fetch_add(1, Relaxed);
    }

    pub(crate) fn idle_end(&self, ended: Idle) {
        match ended {
            Idle::Open => return,
            Idle::Closed => &self.closed_idle,
            Idle::Reset => &self.reset_idle,
        }
        .fetch_add(1, Relaxed);
    }

    pub(crate) fn succeed(&self, latency_us: u64) {
        self.latencies.record(latency_us);
        // Release, so that whoever sees the outcome also sees that the request began.
        self.ok.fetch_add(1, Release);
    }

    pub(crate) fn fail(&self, failure: &Failure, reused: bool, at_ms: u64) {
        if reused {
            self.failed_reused.fetch_add(1, Relaxed);
        }
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() < SAMPLES {
            samples.push(FailureSample {
                at_ms,
                cause: failure.cause,
                reused,
                detail: failure.detail.clone(),
            });
        }
        drop(samples);
        self.causes[failure.cause as usize].fetch_add(1, Release);
    }

    pub(crate) fn label(&self, value: &str) {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        // The common case finds the label and allocates nothing.
        if let Some(count) = labels.get_mut(value) {
            *count += 1;
        } else {
            labels.insert(value.to_owned(), 1);
        }
    }

    pub(crate) fn samples(&self) -> Vec<FailureSample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        // Outcomes before `sent`, so that the sum of outcomes can only lag behind it.
        let ok = self.ok.load(Acquire);
        let count = |cause: &Cause| (*cause, self.causes[*cause as usize].load(Acquire));
        let causes: BTreeMap<Cause, u64> =
            Cause::ALL.iter().map(count).filter(|(_, count)| *count > 0).collect();
        Snapshot {
            sent: self.sent.load(Relaxed),
            ok,
            failed: causes.values().sum(),
            causes,
            labels: self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
