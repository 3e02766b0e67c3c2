//! Simulated requests, judged by interval and not one by one.
//!
//! Between two changes of routes or servers every request of a load meets the
//! same fate, so an interval costs one multiplication per endpoint at any rate.
//! Amounts are kept in billionths of a request: even a window too short for one
//! whole request leaves a trace, and a count of 0 failures means that there was
//! no such window at all.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::routes::{Endpoint, Routes};
use super::servers::{Server, Servers};
use crate::store::Place;

const BILLION: u128 = 1_000_000_000;

/// A steady stream of requests to a Service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadSpec {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// Requests per second.
    pub rate: u32,
    /// How long a request takes; one in flight on a pod that is killed fails.
    pub duration: Duration,
}

impl LoadSpec {
    /// Asks for `rate` requests per second that take 20 ms each.
    #[must_use]
    pub fn new(namespace: impl Into<String>, service: impl Into<String>, rate: u32) -> Self {
        let duration = Duration::from_millis(20);
        Self { namespace: namespace.into(), service: service.into(), rate, duration }
    }

    /// Sets how long a request takes.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LossCause {
    /// It was in flight when its pod ended.
    Cut,
    /// The pod answered with a server error.
    Error,
    /// It went to an address where no pod is.
    Gone,
    /// The Service has no endpoint that could take it.
    NoEndpoint,
    /// It went to a pod that takes no requests.
    Refused,
}

/// What became of the requests of a load.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Requests that failed; never rounded down to 0.
    pub failed: u64,
    /// Failures by cause.
    pub causes: BTreeMap<LossCause, u64>,
    /// Requests by the revision of the pod that got them.
    pub revisions: BTreeMap<String, Served>,
}

/// What became of the requests that one revision got.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Served {
    /// Requests that were routed to it.
    pub sent: u64,
    /// Those that failed there.
    pub failed: u64,
}

/// A handle on a running load.
#[derive(Clone, Debug)]
pub struct Traffic {
    servers: Servers,
    index: usize,
}

impl Traffic {
    pub(crate) fn start(servers: &Servers, spec: LoadSpec, now: Instant) -> Self {
        let mut inner = servers.lock();
        inner.loads.push(Load::new(spec, now));
        let index = inner.loads.len() - 1;
        drop(inner);
        Self { servers: servers.clone(), index }
    }

    /// Returns the counts up to now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut inner = self.servers.lock();
        inner.settle(Instant::now());
        inner.loads[self.index].counts()
    }

    /// Sets the requests per second from now on; 0 stops the load.
    pub fn set_rate(&self, rate: u32) {
        let mut inner = self.servers.lock();
        inner.settle(Instant::now());
        inner.loads[self.index].spec.rate = rate;
    }
}

#[derive(Debug)]
pub(crate) struct Load {
    spec: LoadSpec,
    service: Place,
    since: Instant,
    sent: u128,
    causes: BTreeMap<LossCause, u128>,
    revisions: BTreeMap<Arc<str>, (u128, u128)>,
    /// What each address got lately, for what is cut when it ends.
    recent: HashMap<IpAddr, VecDeque<Window>>,
}

#[derive(Clone, Debug)]
struct Window {
    from: Instant,
    to: Instant,
    amount: u128,
    revision: Arc<str>,
}

impl Load {
    fn new(spec: LoadSpec, now: Instant) -> Self {
        let service = (spec.namespace.clone(), spec.service.clone());
        Self {
            spec,
            service,
            since: now,
            sent: 0,
            causes: BTreeMap::new(),
            revisions: BTreeMap::new(),
            recent: HashMap::new(),
        }
    }

    /// Judges the requests from the last change to now.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        routes: &Routes,
        servers: &HashMap<IpAddr, Server>,
    ) {
        let from = self.since;
        let elapsed = now.saturating_duration_since(from);
        self.since = now.max(from);
        let amount = elapsed.as_nanos() * u128::from(self.spec.rate);
        if amount == 0 {
            return;
        }
        self.sent += amount;
        let backends = routes.backends(&self.service.0, &self.service.1);
        let usable = backends.map(|backends| &*backends.usable).unwrap_or_default();
        if usable.is_empty() {
            *self.causes.entry(LossCause::NoEndpoint).or_default() += amount;
            return;
        }
        let count = usable.len() as u128;
        for (index, endpoint) in usable.iter().enumerate() {
            let rest = if index == 0 { amount % count } else { 0 };
            let server = servers.get(&endpoint.ip).copied().unwrap_or(Server::Gone);
            self.judge(endpoint, server, amount / count + rest, (from, now));
        }
    }

    fn judge(
        &mut self,
        endpoint: &Endpoint,
        server: Server,
        amount: u128,
        (from, to): (Instant, Instant),
    ) {
        let failed = match server {
            Server::Errors(per_mille) => {
                Some((LossCause::Error, amount * u128::from(per_mille) / 1000))
            }
            Server::Gone => Some((LossCause::Gone, amount)),
            Server::Refuses => Some((LossCause::Refused, amount)),
            Server::Serves => None,
        };
        let by_revision = self.revisions.entry(Arc::clone(&endpoint.revision)).or_default();
        by_revision.0 += amount;
        if let Some((cause, failed)) = failed {
            by_revision.1 += failed;
            *self.causes.entry(cause).or_default() += failed;
        }
        if server == Server::Serves && !self.spec.duration.is_zero() {
            let revision = Arc::clone(&endpoint.revision);
            let windows = self.recent.entry(endpoint.ip).or_default();
            while windows.front().is_some_and(|old| old.to + self.spec.duration <= to) {
                windows.pop_front();
            }
            windows.push_back(Window { from, to, amount, revision });
        }
    }

    /// Counts what was in flight on an address that ends now.
    pub(super) fn cut(&mut self, ip: IpAddr, now: Instant) {
        for window in self.recent.remove(&ip).unwrap_or_default() {
            let length = (window.to - window.from).as_nanos().max(1);
            let flies_until = window.to + self.spec.duration;
            let inside = flies_until.saturating_duration_since(now).as_nanos().min(length);
            let cut = window.amount * inside / length;
            if cut > 0 {
                *self.causes.entry(LossCause::Cut).or_default() += cut;
                self.revisions.entry(window.revision).or_default().1 += cut;
            }
        }
    }

    fn counts(&self) -> Counts {
        let whole = |amount: u128| u64::try_from(amount / BILLION).unwrap_or(u64::MAX);
        let any = |amount: u128| u64::try_from(amount.div_ceil(BILLION)).unwrap_or(u64::MAX);
        let causes = self.causes.iter().filter(|(_, amount)| **amount > 0);
        let revisions = self.revisions.iter();
        Counts {
            sent: whole(self.sent),
            failed: any(self.causes.values().sum()),
            causes: causes.map(|(cause, amount)| (*cause, any(*amount))).collect(),
            revisions: revisions
                .map(|(revision, (sent, failed))| {
                    let served = Served { sent: whole(*sent), failed: any(*failed) };
                    (revision.to_string(), served)
                })
                .collect(),
        }
    }
}
