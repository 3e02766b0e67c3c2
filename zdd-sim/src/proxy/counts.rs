//! Counts connections and their ends, per Service port and per pod.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::service_port::ServicePort;

/// What a [`Proxy`](super::Proxy) has seen, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProxyCounts {
    /// Per Service port.
    pub services: BTreeMap<ServicePort, ServiceCounts>,
}

impl ProxyCounts {
    /// Returns the counts of one Service port, all zero where nothing was served.
    #[must_use]
    pub fn of(&self, service: &ServicePort) -> ServiceCounts {
        self.services.get(service).cloned().unwrap_or_default()
    }
}

/// The connections of one Service port.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServiceCounts {
    /// Connections that clients opened.
    pub connections: u64,
    /// Connections that were reset because the Service had no endpoint.
    pub no_endpoint: u64,
    /// The rest, per pod.
    pub backends: BTreeMap<String, BackendCounts>,
}

impl ServiceCounts {
    /// Adds up the counts of all pods.
    #[must_use]
    pub fn total(&self) -> BackendCounts {
        let mut total = BackendCounts::default();
        for backend in self.backends.values() {
            total.add(backend);
        }
        total
    }
}

/// The connections of one Service port that went to one pod.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BackendCounts {
    /// Connections that the pod accepted.
    pub established: u64,
    /// Connections that the pod refused.
    pub refused: u64,
    /// Connections that the pod did not answer in time, or that found no way to it.
    pub unreachable: u64,
    /// Connections that both sides closed in order.
    pub closed: u64,
    /// Connections that the pod reset.
    pub reset_by_backend: u64,
    /// Connections that the client reset.
    pub reset_by_client: u64,
    /// Bytes from clients to the pod.
    pub bytes_in: u64,
    /// Bytes from the pod to clients.
    pub bytes_out: u64,
}

impl BackendCounts {
    /// Returns how many connections are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        let ended = self.closed + self.reset_by_backend + self.reset_by_client;
        self.established.saturating_sub(ended)
    }

    fn add(&mut self, other: &Self) {
        self.established += other.established;
        self.refused += other.refused;
        self.unreachable += other.unreachable;
        self.closed += other.closed;
        self.reset_by_backend += other.reset_by_backend;
        self.reset_by_client += other.reset_by_client;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// A number that many connections count up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        // Each counter stands alone; a snapshot needs no order between them.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<BTreeMap<ServicePort, Arc<ServiceCounters>>>);

impl Counters {
    pub(super) fn of(&self, service: &ServicePort) -> Arc<ServiceCounters> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(service.clone()).or_default())
    }

    pub(super) fn snapshot(&self) -> ProxyCounts {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let services = all.iter().map(|(service, c)| (service.clone(), c.snapshot())).collect();
        ProxyCounts { services }
    }
}

#[derive(Debug, Default)]
pub(super) struct ServiceCounters {
    pub(super) connections: Counter,
    pub(super) no_endpoint: Counter,
    backends: Mutex<BTreeMap<Arc<str>, Arc<BackendCounters>>>,
}

impl ServiceCounters {
    pub(super) fn backend(&self, pod: &Arc<str>) -> Arc<BackendCounters> {
        let mut all = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(Arc::clone(pod)).or_default())
    }

    fn snapshot(&self) -> ServiceCounts {
        let all = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        ServiceCounts {
            connections: self.connections.get(),
            no_endpoint: self.no_endpoint.get(),
            backends: all.iter().map(|(pod, c)| (pod.to_string(), c.snapshot())).collect(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct BackendCounters {
    pub(super) established: Counter,
    pub(super) refused: Counter,
    pub(super) unreachable: Counter,
    pub(super) closed: Counter,
    pub(super) reset_by_backend: Counter,
    pub(super) reset_by_client: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

impl BackendCounters {
    fn snapshot(&self) -> BackendCounts {
        BackendCounts {
            established: self.established.get(),
            refused: self.refused.get(),
            unreachable: self.unreachable.get(),
            closed: self.closed.get(),
            reset_by_backend: self.reset_by_backend.get(),
            reset_by_client: self.reset_by_client.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
        }
    }
}
