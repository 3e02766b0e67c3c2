//! Which pods a new connection may go to: EndpointSlices as kube-proxy reads them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use crate::object::Object;

/// A port of a Service, as EndpointSlices name it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct ServicePort {
    /// The namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port's name; empty for the only port of a Service.
    pub port: String,
}

impl ServicePort {
    /// Names a Service port; `port` is empty where the Service's only port has no name.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        service: impl Into<String>,
        port: impl Into<String>,
    ) -> Self {
        Self { namespace: namespace.into(), service: service.into(), port: port.into() }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A pod that takes connections.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// The pod's name, under which connections are counted.
    pub pod: Arc<str>,
}

impl Backend {
    /// Names a backend.
    #[must_use]
    pub fn new(address: SocketAddr, pod: impl Into<Arc<str>>) -> Self {
        Self { address, pod: pod.into() }
    }
}

/// The backends of all Services at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RouteTable {
    routes: BTreeMap<ServicePort, Vec<Backend>>,
}

impl RouteTable {
    /// Builds the table from EndpointSlices.
    ///
    /// Per Service port, slices are added up and addresses are taken once. Ready endpoints are
    /// used; where there are none, those that are terminating but still serve (KEP-1669).
    #[must_use]
    pub fn from_slices<'a>(slices: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found: BTreeMap<ServicePort, Candidates> = BTreeMap::new();
        for slice in slices {
            let Some(service) = slice.label("kubernetes.io/service-name") else { continue };
            for port in items(&slice["ports"]) {
                let Some(number) = port["port"].as_u64().and_then(|n| u16::try_from(n).ok()) else {
                    continue;
                };
                let name = port["name"].as_str().unwrap_or_default();
                let service = ServicePort::new(slice.namespace(), service, name);
                let candidates = found.entry(service).or_default();
                for endpoint in items(&slice["endpoints"]) {
                    candidates.add(endpoint, number);
                }
            }
        }
        let routes =
            found.into_iter().map(|(service, candidates)| (service, candidates.chosen())).collect();
        Self { routes }
    }

    /// Sets the backends of a Service port.
    pub fn insert(&mut self, service: ServicePort, backends: Vec<Backend>) {
        self.routes.insert(service, backends);
    }

    /// Returns the backends that new connections may go to.
    #[must_use]
    pub fn backends(&self, service: &ServicePort) -> &[Backend] {
        self.routes.get(service).map_or(&[], Vec::as_slice)
    }
}

#[derive(Default)]
struct Candidates {
    ready: BTreeMap<SocketAddr, Arc<str>>,
    draining: BTreeMap<SocketAddr, Arc<str>>,
}

impl Candidates {
    fn add(&mut self, endpoint: &Value, port: u16) {
        let condition = |name: &str| endpoint["conditions"][name].as_bool();
        // An absent condition means ready, serving, not terminating.
        let ready = condition("ready").unwrap_or(true);
        let serving = condition("serving").unwrap_or(true);
        let terminating = condition("terminating").unwrap_or(false);
        let set = match (ready, serving && terminating) {
            (true, _) => &mut self.ready,
            (false, true) => &mut self.draining,
            (false, false) => return,
        };
        // All addresses of an endpoint are interchangeable; kube-proxy takes the first.
        let Some(address) = endpoint["addresses"][0].as_str().and_then(|a| a.parse().ok()) else {
            return;
        };
        let address: IpAddr = address;
        let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
        set.insert(SocketAddr::new(address, port), pod.into());
    }

    fn chosen(self) -> Vec<Backend> {
        let set = if self.ready.is_empty() { self.draining } else { self.ready };
        set.into_iter().map(|(address, pod)| Backend { address, pod }).collect()
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An endpoint with (ready, serving, terminating).
    fn endpoint(ip: &str, conditions: (bool, bool, bool)) -> Value {
        let (ready, serving, terminating) = conditions;
        json!({
            "addresses": [ip],
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            "targetRef": {"kind": "Pod", "name": format!("pod-{ip}")},
        })
    }

    fn slice(endpoints: &[Value]) -> Value {
        json!({
            "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": endpoints,
        })
    }

    #[track_caller]
    fn check(slices: &[Value], expected: &[&str]) {
        let table = RouteTable::from_slices(slices);
        let backends = table.backends(&ServicePort::new("shop", "web", "http"));
        let found: Vec<_> = backends.iter().map(|b| b.address.to_string()).collect();
        assert_eq!(found, expected);
    }

    const READY: (bool, bool, bool) = (true, true, false);
    const UNREADY: (bool, bool, bool) = (false, false, false);
    const DRAINING: (bool, bool, bool) = (false, true, true);
    const GONE: (bool, bool, bool) = (false, false, true);

    #[test]
    fn only_ready_endpoints_are_used_while_there_are_any() {
        let all = [
            endpoint("127.64.0.1", READY),
            endpoint("127.64.0.2", UNREADY),
            endpoint("127.64.0.3", DRAINING),
        ];
        check(&[slice(&all)], &["127.64.0.1:8080"]);
    }

    #[test]
    fn without_ready_ones_those_that_terminate_and_serve_are_used() {
        let all = [
            endpoint("127.64.0.1", GONE),
            endpoint("127.64.0.2", UNREADY),
            endpoint("127.64.0.3", DRAINING),
        ];
        check(&[slice(&all)], &["127.64.0.3:8080"]);
    }

    #[test]
    fn an_unready_endpoint_that_does_not_terminate_is_never_used() {
        check(&[slice(&[endpoint("127.64.0.2", UNREADY)])], &[]);
    }

    #[test]
    fn slices_are_added_up_and_an_address_counts_once() {
        let one = slice(&[endpoint("127.64.0.1", READY)]);
        let two = slice(&[endpoint("127.64.0.1", READY), endpoint("127.64.0.2", READY)]);
        check(&[one, two], &["127.64.0.1:8080", "127.64.0.2:8080"]);
    }

    #[test]
    fn an_endpoint_without_conditions_is_ready() {
        let bare = json!({"addresses": ["127.64.0.9"]});
        check(&[slice(&[bare])], &["127.64.0.9:8080"]);
    }
}
