//! Where the requests of each Service go: what a proxy programs from EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::collection::Collection;
use crate::object::Object;
use crate::store::{Place, Store};

/// The routes of all Services at one moment, as the data plane knows them.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    services: BTreeMap<Place, Arc<Backends>>,
}

impl Routes {
    /// Returns the backends of a Service; `None` when the data plane has not heard of it.
    #[must_use]
    pub fn backends(&self, namespace: &str, service: &str) -> Option<&Arc<Backends>> {
        self.services.get(&(namespace.to_owned(), service.to_owned()))
    }

    /// Lists the Services with their namespaces.
    pub fn services(&self) -> impl Iterator<Item = (&str, &str, &Arc<Backends>)> {
        let all = self.services.iter();
        all.map(|((namespace, name), backends)| (namespace.as_str(), name.as_str(), backends))
    }

    pub(crate) fn with(&self, service: Place, backends: Backends) -> Self {
        let mut services = self.services.clone();
        services.insert(service, Arc::new(backends));
        Self { services }
    }
}

/// The endpoints of one Service.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Backends {
    /// The endpoints that get requests: the ready ones, or, when there is none, those that are
    /// terminating but still serve (KEP-1669).
    pub usable: Vec<Endpoint>,
    /// All endpoints that the slices name, each address once.
    pub known: Vec<Endpoint>,
}

/// One endpoint of a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The pod's address.
    pub ip: IpAddr,
    /// The ports by name; the name of an only port is often empty.
    pub ports: BTreeMap<String, u16>,
    /// The pod's name.
    pub pod: Arc<str>,
    /// The pod's uid.
    pub pod_uid: Arc<str>,
    /// The revision of the pod: its `pod-template-hash` or `controller-revision-hash`; empty when
    /// it has neither.
    pub revision: Arc<str>,
    /// What the slice says of it.
    pub state: EndpointState,
}

/// The conditions of an endpoint, as far as they decide on requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EndpointState {
    /// It gets no requests.
    NotReady,
    /// It gets requests.
    Ready,
    /// It terminates, passes its readiness probe, and gets requests when nobody else can.
    ServingTerminating,
}

impl Endpoint {
    /// Returns the port of a name, or the only port when `name` is empty.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<u16> {
        let only = || self.ports.values().next().filter(|_| name.is_empty());
        self.ports.get(name).or_else(only).copied()
    }

    fn read(slice: &Value, endpoint: &Value) -> Option<Self> {
        let ip = endpoint["addresses"][0].as_str()?.parse().ok()?;
        let ports = slice["ports"].as_array().into_iter().flatten().filter_map(|port| {
            let number = u16::try_from(port["port"].as_u64()?).ok()?;
            Some((port["name"].as_str().unwrap_or_default().to_owned(), number))
        });
        let conditions = &endpoint["conditions"];
        // An absent condition has the value that lets requests through.
        let ready = conditions["ready"].as_bool().unwrap_or(true);
        let serving = conditions["serving"].as_bool().unwrap_or(ready);
        let terminating = conditions["terminating"].as_bool().unwrap_or(false);
        let state = match (ready, serving && terminating) {
            (true, _) => EndpointState::Ready,
            (false, true) => EndpointState::ServingTerminating,
            (false, false) => EndpointState::NotReady,
        };
        let target = &endpoint["targetRef"];
        Some(Self {
            ip,
            ports: ports.collect(),
            pod: Arc::from(target["name"].as_str().unwrap_or_default()),
            pod_uid: Arc::from(target["uid"].as_str().unwrap_or_default()),
            revision: Arc::from(""),
            state,
        })
    }
}

impl Backends {
    /// Aggregates slices; revisions come with the update or from what was known before, because
    /// the pod may be gone when the change arrives.
    pub(crate) fn of<'a>(
        slices: impl Iterator<Item = &'a Arc<Value>>,
        before: Option<&Arc<Self>>,
        revisions: &[(String, Arc<str>)],
    ) -> Self {
        let mut known: Vec<Endpoint> = Vec::new();
        let mut seen = BTreeSet::new();
        for slice in slices {
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                let Some(mut endpoint) = Endpoint::read(slice, endpoint) else { continue };
                let uid = &*endpoint.pod_uid;
                let fresh = revisions.iter().find(|(other, _)| other == uid).map(|(_, r)| r);
                let old = before.into_iter().flat_map(|before| &before.known);
                let old = || old.clone().find(|old| &*old.pod_uid == uid).map(|old| &old.revision);
                if let Some(revision) = fresh.or_else(old) {
                    endpoint.revision = Arc::clone(revision);
                }
                // During a move between slices an address may be in both.
                if seen.insert(endpoint.ip) {
                    known.push(endpoint);
                }
            }
        }
        let of = |state| known.iter().filter(move |endpoint| endpoint.state == state).cloned();
        let mut usable: Vec<Endpoint> = of(EndpointState::Ready).collect();
        if usable.is_empty() {
            usable = of(EndpointState::ServingTerminating).collect();
        }
        Self { usable, known }
    }
}

/// Looks up the revisions of a slice's pods.
pub(crate) fn revisions(store: &Store, slice: &Value) -> Vec<(String, Arc<str>)> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let revision = |endpoint: &Value| {
        let target = &endpoint["targetRef"];
        let pod = store.get(&Collection::PODS, slice.namespace(), target["name"].as_str()?)?;
        let hash = pod.label("pod-template-hash").or(pod.label("controller-revision-hash"))?;
        (target["uid"] == pod["metadata"]["uid"]).then(|| (pod.uid().to_owned(), Arc::from(hash)))
    };
    endpoints.filter_map(revision).collect()
}
