//! The data plane: who gets the requests of a Service, and what becomes of them.
//!
//! It follows EndpointSlices with a lag, as kube-proxy, meshes and load balancers
//! do, and can stand still. That lag, not the API, is what makes requests fail
//! during a careless deployment.

pub(crate) mod routes;
pub(crate) mod servers;
pub(crate) mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::collection::Collection;
use crate::controller::endpoint_slice::SERVICE_LABEL;
use crate::image::Span;
use crate::object::Object;
use crate::store::{Change, Entry, Place, Store};
use routes::{Backends, Routes};
use servers::Servers;

/// The lagged view of all EndpointSlices.
#[derive(Debug)]
pub(crate) struct DataPlane {
    lag: Span,
    frozen: bool,
    random: fastrand::Rng,
    pending: VecDeque<(Instant, Update)>,
    slices: BTreeMap<Place, BTreeMap<String, Arc<Value>>>,
    publish: watch::Sender<Arc<Routes>>,
    servers: Servers,
}

/// One change of one slice on its way to the proxies.
#[derive(Debug)]
struct Update {
    service: Place,
    slice: String,
    /// `None` when the slice is gone.
    object: Option<Arc<Value>>,
    backends: Vec<(String, Arc<str>)>,
}

impl DataPlane {
    pub(crate) fn new(lag: Span, servers: Servers, seed: u64) -> Self {
        let (publish, _) = watch::channel(Arc::default());
        Self {
            lag,
            frozen: false,
            random: fastrand::Rng::with_seed(seed),
            pending: VecDeque::new(),
            slices: BTreeMap::new(),
            publish,
            servers,
        }
    }

    pub(crate) fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.publish.subscribe()
    }

    pub(crate) fn current(&self) -> Arc<Routes> {
        Arc::clone(&self.publish.borrow())
    }

    pub(crate) fn set_lag(&mut self, lag: Span) {
        self.lag = lag;
    }

    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen = false;
    }

    pub(crate) fn observe(&mut self, entry: &Entry, store: &Store, now: Instant) {
        if entry.collection != Collection::ENDPOINT_SLICES {
            return;
        }
        let Some(service) = entry.object.label(SERVICE_LABEL) else { return };
        let namespace = entry.object.namespace().to_owned();
        let is_gone = entry.change == Change::Deleted;
        let update = Update {
            service: (namespace, service.to_owned()),
            slice: entry.object.name().to_owned(),
            backends: if is_gone { Vec::new() } else { routes::revisions(store, &entry.object) },
            object: (!is_gone).then(|| Arc::clone(&entry.object)),
        };
        // Changes arrive in their order, whatever lag is drawn for each.
        let earliest = self.pending.back().map_or(now, |(due, _)| *due);
        let due = (now + self.lag.draw(&mut self.random)).max(earliest);
        self.pending.push_back((due, update));
    }

    /// Applies what has arrived; returns when the next change does.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<Instant> {
        if self.frozen {
            return None;
        }
        while let Some((due, _)) = self.pending.front() {
            if *due > now {
                return Some(*due);
            }
            if let Some((_, update)) = self.pending.pop_front() {
                self.apply(update, now);
            }
        }
        None
    }

    fn apply(&mut self, update: Update, now: Instant) {
        let slices = self.slices.entry(update.service.clone()).or_default();
        match update.object {
            Some(object) => slices.insert(update.slice, object),
            None => slices.remove(&update.slice),
        };
        let old = Arc::clone(&self.publish.borrow());
        let known = old.backends(&update.service.0, &update.service.1);
        let backends = Backends::of(slices.values(), known, &update.backends);
        if slices.is_empty() {
            self.slices.remove(&update.service);
        }
        let routes = Arc::new(old.with(update.service, backends));
        self.servers.route(&routes, now);
        self.publish.send_replace(routes);
    }
}
