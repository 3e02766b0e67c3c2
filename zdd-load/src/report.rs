//! What a run came to.

use std::{collections::BTreeMap, fmt, iter::Sum};

use serde::{Deserialize, Serialize};

use crate::{cause::Cause, counters::Counters, histogram::Histogram};

/// The result of a run; serialises to the `requests` object of the examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Requests sent; always `ok + failed`.
    pub sent: u64,
    /// Requests with a complete response of status 1xx to 3xx.
    pub ok: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Failures by cause; causes that did not occur are left out.
    pub causes: BTreeMap<Cause, u64>,
    /// Complete responses by the value of the label header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, u64>,
    /// Latency of the requests that were ok.
    pub latency_us: Latency,
    /// What happened to the connections.
    pub connections: Connections,
    /// From the first request that was due to the last outcome.
    pub elapsed_ms: u64,
    /// The first failures, with their detail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<FailureSample>,
}

/// What became of the requests of several loads together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// Requests sent.
    pub sent: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Failures by cause; causes that did not occur are left out.
    pub causes: BTreeMap<Cause, u64>,
}

impl Totals {
    /// Adds up reports.
    #[must_use]
    pub fn of(reports: &[Report]) -> Self {
        let mut all = Self::default();
        for Report { sent, failed, causes, .. } in reports {
            all.add(*sent, *failed, causes);
        }
        all
    }

    fn add(&mut self, sent: u64, failed: u64, causes: &BTreeMap<Cause, u64>) {
        self.sent += sent;
        self.failed += failed;
        for (cause, count) in causes {
            *self.causes.entry(*cause).or_default() += count;
        }
    }
}

impl<'a> Sum<&'a Self> for Totals {
    fn sum<I: Iterator<Item = &'a Self>>(totals: I) -> Self {
        let mut all = Self::default();
        for Self { sent, failed, causes } in totals {
            all.add(*sent, *failed, causes);
        }
        all
    }
}

/// Latency in microseconds, from the time a request was due to the end of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// What happened to the connections of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// Connections established.
    pub opened: u64,
    /// Connections that ended because a response said so (`Connection: close`, or GOAWAY on HTTP/2).
    pub told_to_close: u64,
    /// Connections that the server closed between two requests; no request was lost by it.
    pub closed_idle: u64,
    /// The same by a reset.
    pub reset_idle: u64,
    /// Failed requests that had been sent on a connection that served others before.
    pub failed_on_reused: u64,
}

/// One failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureSample {
    /// Time since the start of the run.
    pub at_ms: u64,
    /// Why it failed.
    pub cause: Cause,
    /// Whether its connection had served others before.
    pub reused: bool,
    /// What the socket or parser said.
    pub detail: String,
}

impl Latency {
    pub(crate) fn of(latencies: &Histogram) -> Self {
        Self { p50: latencies.quantile(0.50), p99: latencies.quantile(0.99), max: latencies.max() }
    }
}

impl Connections {
    pub(crate) fn of(counters: &Counters) -> Self {
        use std::sync::atomic::Ordering::Relaxed;
        Self {
            opened: counters.opened.load(Relaxed),
            told_to_close: counters.told_to_close.load(Relaxed),
            closed_idle: counters.closed_idle.load(Relaxed),
            reset_idle: counters.reset_idle.load(Relaxed),
            failed_on_reused: counters.failed_reused.load(Relaxed),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} ok, {} failed", self.sent, self.ok, self.failed)?;
        for (cause, count) in &self.causes {
            write!(f, ", {cause} {count}")?;
        }
        let Latency { p50, p99, max } = self.latency_us;
        write!(f, "; p50 {p50} us, p99 {p99} us, max {max} us")?;
        for sample in self.samples.iter().take(3) {
            let FailureSample { at_ms, cause, detail, .. } = sample;
            write!(f, "\n  at {at_ms} ms: {cause}: {detail}")?;
        }
        Ok(())
    }
}
