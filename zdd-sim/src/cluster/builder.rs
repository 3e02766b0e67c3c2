//! What a cluster is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::Cluster;
use super::engine::Engine;
use crate::api::ApiServer;
use crate::clock::Clock;
use crate::collection::Collection;
use crate::controller::Controller;
use crate::controller::context::Admission;
use crate::image::{Images, RuntimeKind, Span};
use crate::kubelet::{Reports, Runtime};
#[cfg(feature = "process")]
use crate::process::RealContainers;
use crate::store::Store;

/// How long after a change each controller looks at it.
#[derive(Clone, Debug)]
pub struct Latencies {
    default: Span,
    by_controller: BTreeMap<Controller, Span>,
    data_plane: Span,
}

impl Default for Latencies {
    /// A few milliseconds for controllers, up to 30 for EndpointSlices, up to 200 for the data
    /// plane: a healthy small cluster.
    fn default() -> Self {
        let by_controller = [
            (Controller::EndpointSlice, Span::millis(5..=30)),
            (Controller::Kubelet, Span::millis(1..=10)),
        ];
        Self {
            default: Span::millis(1..=5),
            by_controller: by_controller.into(),
            data_plane: Span::millis(20..=200),
        }
    }
}

impl Latencies {
    /// Lets everything happen at once.
    #[must_use]
    pub fn none() -> Self {
        Self { default: Span::ZERO, by_controller: BTreeMap::new(), data_plane: Span::ZERO }
    }

    /// Sets the delay of one controller.
    #[must_use]
    pub fn with(mut self, controller: Controller, latency: impl Into<Span>) -> Self {
        self.by_controller.insert(controller, latency.into());
        self
    }

    /// Sets the delay from an EndpointSlice to the data plane.
    #[must_use]
    pub fn data_plane(mut self, lag: impl Into<Span>) -> Self {
        self.data_plane = lag.into();
        self
    }

    pub(super) fn lag(&self) -> Span {
        self.data_plane
    }

    pub(super) fn of(&self, controller: Controller) -> Span {
        self.by_controller.get(&controller).copied().unwrap_or(self.default)
    }

    pub(super) fn set(&mut self, controller: Controller, latency: Span) {
        self.by_controller.insert(controller, latency);
    }
}

type MakeRuntime = Box<dyn FnOnce(Reports) -> Box<dyn Runtime> + Send>;

/// Describes a [`Cluster`].
pub struct ClusterBuilder {
    seed: u64,
    start: Timestamp,
    nodes: u32,
    latencies: Latencies,
    images: Images,
    admission: Vec<Box<dyn Admission>>,
    runtimes: Vec<(RuntimeKind, MakeRuntime)>,
    writes_events: bool,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            seed: 0,
            // 2026-01-01T00:00:00Z: a fixed start keeps recorded timelines alike.
            start: Timestamp::from_second(1_767_225_600).unwrap_or_default(),
            nodes: 3,
            latencies: Latencies::default(),
            images: Images::any(),
            admission: Vec::new(),
            runtimes: Vec::new(),
            writes_events: true,
        }
    }
}

impl ClusterBuilder {
    /// Sets the seed of names, delays and order; the same seed gives the same history.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets what the cluster's clock reads at the start.
    #[must_use]
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Sets the number of nodes; 3 unless told.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes;
        self
    }

    /// Sets the delays of controllers and data plane.
    #[must_use]
    pub fn latencies(mut self, latencies: Latencies) -> Self {
        self.latencies = latencies;
        self
    }

    /// Sets the registry of images; unless told, every image is there and well-behaved.
    #[must_use]
    pub fn images(mut self, images: Images) -> Self {
        self.images = images;
        self
    }

    /// Adds what reviews new objects, of clients and of controllers.
    #[must_use]
    pub fn admission(mut self, admission: impl Admission + 'static) -> Self {
        self.admission.push(Box::new(admission));
        self
    }

    /// Adds a runtime for a kind of images, or replaces the one that is there.
    #[must_use]
    pub fn runtime<R: Runtime + 'static>(
        mut self,
        kind: RuntimeKind,
        make: impl FnOnce(Reports) -> R + Send + 'static,
    ) -> Self {
        self.runtimes.push((kind, Box::new(move |reports| Box::new(make(reports)))));
        self
    }

    /// Turns Kubernetes Events of controllers off: a third fewer writes.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.writes_events = false;
        self
    }

    /// Creates the cluster, with its nodes and namespaces; nothing runs yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time, when its clock is read.
    #[must_use]
    pub fn build(self) -> Cluster {
        let mut store = Store::new(Clock::starting_at(self.start), self.seed);
        populate(&mut store, self.nodes);
        let store = Arc::new(Mutex::new(store));
        let api = ApiServer::new(Arc::clone(&store));
        for admission in self.admission {
            api.admission().add(admission);
        }
        let reports = Reports::default();
        let mut engine = Engine::new(
            (self.images, self.latencies, Some(Box::new(api.admission().clone()))),
            (&reports, self.seed, self.writes_events),
        );
        #[cfg(feature = "process")]
        for kind in [RuntimeKind::Process, RuntimeKind::Service] {
            engine.add_runtime(kind, Box::new(RealContainers::new(reports.clone())));
        }
        for (kind, make) in self.runtimes {
            engine.add_runtime(kind, make(reports.clone()));
        }
        let engine = Arc::new(Mutex::new(engine));
        // Weak: who holds a client only must not keep the processes of pods alive.
        let pods = Arc::downgrade(&engine);
        api.serve_logs(Box::new(move |pod, container| {
            super::lock(&*pods.upgrade()?).kubelet().log(pod, container)
        }));
        Cluster { store, engine, reports, api }
    }
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("seed", &self.seed)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

fn populate(store: &mut Store, nodes: u32) {
    let actor: Arc<str> = Arc::from("kube-apiserver");
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        // The store is new: no name can be taken.
        let _new = store.create(&actor, &Collection::NAMESPACES, namespace);
    }
    for number in 1..=nodes {
        let stamp = store.clock().stamp();
        let name = format!("node-{number}");
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {
                "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                "addresses": [
                    {"type": "InternalIP", "address": "10.0.0.2"},
                    {"type": "Hostname", "address": name},
                ],
                "nodeInfo": {
                    "architecture": std::env::consts::ARCH,
                    "containerRuntimeVersion": concat!("zdd-sim://", env!("CARGO_PKG_VERSION")),
                    "kubeletVersion": "v1.37.0+zdd-sim",
                    "operatingSystem": std::env::consts::OS,
                    "osImage": "zdd-sim",
                },
                "conditions": [{
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": stamp,
                    "lastTransitionTime": stamp,
                }],
            },
        });
        let _new = store.create(&actor, &Collection::NODES, node);
    }
}
