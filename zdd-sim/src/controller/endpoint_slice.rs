//! The EndpointSlice controller (pkg/controller/endpointslice with the
//! reconciler of k8s.io/endpointslice).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::Context;
use crate::controller::index::Index;
use crate::controller::meta::{controller_ref, service_selects, suffix};
use crate::controller::pods::{has_ended, is_ready};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};

pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// A slice holds at most so many endpoints (`--max-endpoints-per-slice`).
const PER_SLICE: usize = 100;

/// Tells which Services have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, index: &Index, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let namespace = object.namespace();
    if entry.collection == Collection::SERVICES {
        if entry.change != Change::Deleted {
            push((namespace.to_owned(), object.name().to_owned()));
        }
    } else if entry.collection == Collection::ENDPOINT_SLICES {
        let is_foreign = &*entry.actor != super::Controller::EndpointSlice.name();
        if let Some(service) = object.label(SERVICE_LABEL).filter(|_| is_foreign) {
            push((namespace.to_owned(), service.to_owned()));
        }
    } else if entry.collection == Collection::PODS {
        if entry.change == Change::Modified
            && entry.before.as_ref().is_some_and(|before| same_endpoint(before, object))
        {
            return;
        }
        let mut services = BTreeSet::new();
        for pod in entry.before.iter().chain([object]) {
            let labels = &pod["metadata"]["labels"];
            for (key, value) in labels.as_object().into_iter().flatten() {
                for name in index.services(namespace, key, value.as_str().unwrap_or_default()) {
                    let service = store.get(&Collection::SERVICES, namespace, name);
                    if service.is_some_and(|service| service_selects(service, labels)) {
                        services.insert(name);
                    }
                }
            }
        }
        for name in services {
            push((namespace.to_owned(), name.to_owned()));
        }
    }
}

/// Tells whether a change of a pod leaves its endpoint as it is.
fn same_endpoint(a: &Value, b: &Value) -> bool {
    a["metadata"]["labels"] == b["metadata"]["labels"]
        && a["status"]["podIP"] == b["status"]["podIP"]
        && a.is_terminating() == b.is_terminating()
        && is_ready(a) == is_ready(b)
        && has_ended(a) == has_ended(b)
        && a["spec"]["nodeName"] == b["spec"]["nodeName"]
}

/// Ports of a slice, as text: pods whose named ports differ are in different slices.
type Ports = String;

/// Looks at one Service.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(service) = ctx.get(&Collection::SERVICES, place) else { return Next::Done };
    let selector = service["spec"]["selector"].as_object();
    if service["spec"]["type"] == "ExternalName" || selector.is_none_or(serde_json::Map::is_empty) {
        // Someone else writes the slices of a Service without a selector.
        return Next::Done;
    }
    if service.is_terminating() {
        return Next::Done;
    }
    let mut wanted: BTreeMap<Ports, Wanted> = BTreeMap::new();
    for pod in pods(ctx, &service) {
        if let Some(endpoint) = endpoint(&service, &pod) {
            let ports = ports(&service, &pod);
            let group = wanted.entry(ports.to_string()).or_insert_with(|| Wanted::new(ports));
            group.endpoints.insert(pod.uid().to_owned(), endpoint);
        }
    }
    let plan = Plan::make(ctx, &service, wanted);
    plan.carry_out(ctx, &service);
    Next::Done
}

fn pods(ctx: &Context<'_>, service: &Value) -> Vec<Arc<Value>> {
    let namespace = service.namespace();
    let Some((key, value)) =
        service["spec"]["selector"].as_object().and_then(|terms| terms.iter().next())
    else {
        return Vec::new();
    };
    let names = ctx.index.pods(namespace, key, value.as_str().unwrap_or_default());
    let pods = names.filter_map(|name| ctx.store.get(&Collection::PODS, namespace, name).cloned());
    pods.filter(|pod| service_selects(service, &pod["metadata"]["labels"])).collect()
}

#[derive(Debug)]
struct Wanted {
    ports: Value,
    endpoints: BTreeMap<String, Value>,
}

impl Wanted {
    fn new(ports: Value) -> Self {
        Self { ports, endpoints: BTreeMap::new() }
    }
}

/// What to write, in the order of the real reconciler: deletions become updates where a slice of
/// the same address type can be reused, then creates, updates, deletes.
#[derive(Debug, Default)]
struct Plan {
    create: Vec<(Value, Vec<Value>)>,
    update: Vec<(Arc<Value>, Value, Vec<Value>)>,
    delete: Vec<Arc<Value>>,
}

impl Plan {
    fn make(ctx: &Context<'_>, service: &Value, mut wanted: BTreeMap<Ports, Wanted>) -> Self {
        let mut plan = Self::default();
        let mut existing: BTreeMap<Ports, Vec<Arc<Value>>> = BTreeMap::new();
        for slice in slices(ctx, service) {
            existing.entry(slice["ports"].to_string()).or_default().push(slice);
        }
        if wanted.is_empty() {
            // A Service without endpoints has one empty slice, so that its readers see that it
            // is known.
            plan.create.push((Value::Null, Vec::new()));
        }
        for (ports, group) in &mut wanted {
            let slices = existing.remove(ports).unwrap_or_default();
            plan.fill(slices, group);
        }
        plan.delete.extend(existing.into_values().flatten());
        plan.reuse_deleted();
        plan
    }

    /// Leaves endpoints where they are, drops those that are gone, adds the new ones to slices
    /// that have room, and makes slices for the rest.
    fn fill(&mut self, slices: Vec<Arc<Value>>, group: &mut Wanted) {
        let mut kept: Vec<(Arc<Value>, Vec<Value>)> = Vec::new();
        for slice in slices {
            let mut endpoints = Vec::new();
            for old in slice["endpoints"].as_array().into_iter().flatten() {
                let uid = old["targetRef"]["uid"].as_str().unwrap_or_default();
                endpoints.extend(group.endpoints.remove(uid));
            }
            kept.push((slice, endpoints));
        }
        let mut rest: Vec<Value> = std::mem::take(&mut group.endpoints).into_values().collect();
        for (_, endpoints) in &mut kept {
            let room = PER_SLICE.saturating_sub(endpoints.len()).min(rest.len());
            endpoints.extend(rest.drain(..room));
        }
        for (slice, endpoints) in kept {
            if endpoints.is_empty() {
                self.delete.push(slice);
            } else {
                self.update.push((slice, group.ports.clone(), endpoints));
            }
        }
        let mut rest = rest.into_iter().peekable();
        while rest.peek().is_some() {
            self.create.push((group.ports.clone(), rest.by_ref().take(PER_SLICE).collect()));
        }
    }

    /// One update is atomic for readers, a create and a delete are not.
    fn reuse_deleted(&mut self) {
        while !self.create.is_empty() && !self.delete.is_empty() {
            let (ports, endpoints) = self.create.remove(0);
            let slice = self.delete.remove(0);
            self.update.push((slice, ports, endpoints));
        }
    }

    fn carry_out(self, ctx: &mut Context<'_>, service: &Arc<Value>) {
        let labels = labels(service);
        for (ports, endpoints) in self.create {
            let name = format!("{}-{}", service.name(), suffix(ctx.store.random()));
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "generateName": format!("{}-", service.name()),
                    "namespace": service.namespace(),
                    "labels": labels,
                    "annotations": {TRIGGER_TIME: ctx.stamp()},
                    "ownerReferences": [controller_ref(service, "v1", "Service")],
                },
                "addressType": "IPv4",
                "endpoints": list(endpoints),
                "ports": ports,
            });
            // A quota on slices would show in Events only; there is none here.
            let _refused = ctx.create(&Collection::ENDPOINT_SLICES, slice);
        }
        for (slice, ports, endpoints) in self.update {
            let endpoints = list(endpoints);
            if slice["ports"] == ports
                && slice["endpoints"] == endpoints
                && slice["metadata"]["labels"] == labels
            {
                continue;
            }
            let stamp = ctx.stamp();
            let _gone = ctx.edit(&Collection::ENDPOINT_SLICES, Part::Main, &slice, |slice| {
                slice["ports"] = ports;
                slice["endpoints"] = endpoints;
                slice["metadata"]["labels"] = labels.clone();
                slice["metadata"]["annotations"][TRIGGER_TIME] = stamp;
            });
        }
        for slice in self.delete {
            // Someone else removed it: what was wanted.
            let _gone = ctx.delete(&Collection::ENDPOINT_SLICES, &slice, None);
        }
    }
}

/// An empty list is `null`, as Go writes one that was never made.
fn list(endpoints: Vec<Value>) -> Value {
    if endpoints.is_empty() { Value::Null } else { endpoints.into() }
}

/// Lists the slices that this controller wrote for a Service.
fn slices(ctx: &Context<'_>, service: &Value) -> Vec<Arc<Value>> {
    let owned = ctx.controlled(&Collection::ENDPOINT_SLICES, service.uid());
    owned.into_iter().filter(|slice| slice.label(MANAGED_BY) == Some(MANAGER)).collect()
}

/// Mirrors the Service's labels and adds the reserved ones (`setEndpointSliceLabels`).
fn labels(service: &Value) -> Value {
    let mut labels = json!({});
    for (key, value) in service["metadata"]["labels"].as_object().into_iter().flatten() {
        if ![SERVICE_LABEL, MANAGED_BY, HEADLESS].contains(&key.as_str()) {
            labels[key] = value.clone();
        }
    }
    if service["spec"]["clusterIP"] == "None" {
        labels[HEADLESS] = "".into();
    }
    labels[SERVICE_LABEL] = service.name().into();
    labels[MANAGED_BY] = MANAGER.into();
    labels
}

/// `podToEndpoint`: pods without an address and pods that ended have none, and those without a
/// node neither, unless the Service publishes what is not ready.
fn endpoint(service: &Value, pod: &Value) -> Option<Value> {
    let ip = pod.text("/status/podIP").filter(|ip| !ip.is_empty() && !has_ended(pod))?;
    if pod.text("/spec/nodeName").is_none() && service["spec"]["publishNotReadyAddresses"] != true {
        return None;
    }
    let serving = is_ready(pod);
    let terminating = pod.is_terminating();
    let ready = service["spec"]["publishNotReadyAddresses"] == true || (serving && !terminating);
    let mut endpoint = json!({
        "addresses": [ip],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": pod.namespace(),
            "name": pod.name(),
            "uid": pod.uid(),
        },
    });
    if let Some(node) = pod.text("/spec/nodeName") {
        endpoint["nodeName"] = node.into();
    }
    if let Some(hostname) = pod.text("/spec/hostname")
        && pod["spec"]["subdomain"] == service["metadata"]["name"]
    {
        endpoint["hostname"] = hostname.into();
    }
    Some(endpoint)
}

/// Resolves the Service's target ports; a named port that the pod lacks is left out.
fn ports(service: &Value, pod: &Value) -> Value {
    let mut resolved = Vec::new();
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let target = match &port["targetPort"] {
            Value::String(name) => named_port(pod, name, protocol),
            Value::Number(number) if number.as_i64() != Some(0) => number.as_i64(),
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_) => port["port"].as_i64(),
        };
        let Some(target) = target else { continue };
        let name = port["name"].as_str().unwrap_or_default();
        let mut port_of_slice = json!({"name": name, "port": target, "protocol": protocol});
        if let Some(app) = port["appProtocol"].as_str() {
            port_of_slice["appProtocol"] = app.into();
        }
        resolved.push(port_of_slice);
    }
    resolved.into()
}

fn named_port(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let containers = pod["spec"]["containers"].as_array()?;
    let mut ports = containers.iter().flat_map(|container| container["ports"].as_array());
    let port = ports.find_map(|ports| {
        ports.iter().find(|port| {
            port["name"] == name && port["protocol"].as_str().unwrap_or("TCP") == protocol
        })
    })?;
    port["containerPort"].as_i64()
}
