//! One embedded cluster with one workload under load, in virtual time.

use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_core::{Change, Clock, DeploymentStrategy, Rollout, RolloutId, Target, WorkloadKind};
use zdd_sim::{ApiServer, Cluster, ClusterBuilder, Collection, Counts, LoadSpec, Object, Traffic};

use crate::manifest::{self, CONTAINER};

/// Requests per second of the simulated load.
const RATE: u32 = 1_000;
/// The longest that a workload may take to serve at the start, in virtual time.
const UP_WITHIN: Duration = Duration::from_secs(600);

/// An embedded Kubernetes with one workload that serves requests.
///
/// Everything happens in tokio's time: with paused time a rollout of minutes
/// takes milliseconds, and the same seed gives the same history.
#[derive(Debug)]
pub struct Lab {
    target: Target,
    cluster: Cluster,
    traffic: Traffic,
    _controllers: JoinSet<()>,
}

impl Lab {
    /// Starts a cluster, creates the workload with image `web:1` and a Service, waits until all
    /// pods are ready and sends requests from then on.
    ///
    /// # Panics
    /// When the workload does not get ready: the cluster was built not to let it.
    pub async fn start(builder: ClusterBuilder, target: Target, replicas: u32) -> Self {
        let object = manifest::workload(&target, "web:1", replicas);
        Self::start_with(builder, target, object).await
    }

    /// As [`start`](Self::start), with the workload as given.
    ///
    /// # Panics
    /// When the workload is refused or does not get ready.
    pub async fn start_with(builder: ClusterBuilder, target: Target, object: Value) -> Self {
        let cluster = builder.build();
        let mut controllers = JoinSet::new();
        let driven = cluster.clone();
        controllers.spawn(async move { driven.run(CancellationToken::new()).await });
        let api = kube::Api::<kube::api::DynamicObject>::namespaced_with;
        let client = cluster.client();
        for object in [object, manifest::service(&target)] {
            let object: kube::api::DynamicObject =
                serde_json::from_value(object).expect("the manifests are objects");
            let types = object.types.clone().expect("the manifests name their kinds");
            let kind = kube::core::GroupVersionKind::try_from(types).expect("the kinds are known");
            let resource = kube::api::ApiResource::from_gvk(&kind);
            let created = api(client.clone(), &target.namespace, &resource)
                .create(&kube::api::PostParams::default(), &object)
                .await;
            if let Err(error) = created {
                panic!("the embedded cluster refused {kind:?}: {error}");
            }
        }
        let up = tokio::time::timeout(UP_WITHIN, ready(&cluster, &target)).await;
        assert!(up.is_ok(), "{target} did not become ready within {UP_WITHIN:?}");
        let traffic = cluster.send(LoadSpec::new(&*target.namespace, "web", RATE));
        Self { target, cluster, traffic, _controllers: controllers }
    }

    /// Returns the cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns the workload's name.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns what became of the requests so far.
    #[must_use]
    pub fn requests(&self) -> Counts {
        self.traffic.counts()
    }

    /// Describes a rollout to another image, driven through the given API server.
    #[must_use]
    pub fn rollout(
        &self,
        api: ApiServer,
        image: &str,
        strategy: impl DeploymentStrategy + 'static,
    ) -> Rollout {
        self.change(api, Change::image(CONTAINER, image), strategy)
    }

    /// Describes a rollout of any change, driven through the given API server.
    #[must_use]
    pub fn change(
        &self,
        api: ApiServer,
        change: Change,
        strategy: impl DeploymentStrategy + 'static,
    ) -> Rollout {
        let client = Client::new(api, &*self.target.namespace);
        let now = self.cluster.with_store(|store| store.clock().now());
        Rollout::new(zdd_kube::backend(client), self.target.clone(), change, strategy)
            .clock(Clock::starting_at(now))
            .id(RolloutId::new("lab"))
    }

    /// Returns the workload as it is in the store.
    #[must_use]
    pub fn workload(&self) -> Option<std::sync::Arc<Value>> {
        let collection = collection(self.target.kind);
        self.cluster.with_store(|store| {
            store.get(&collection, &self.target.namespace, &self.target.name).cloned()
        })
    }
}

/// Returns the collection of a kind of workload.
#[must_use]
pub fn collection(kind: WorkloadKind) -> Collection {
    match kind {
        WorkloadKind::DaemonSet => Collection::DAEMON_SETS,
        WorkloadKind::Deployment => Collection::DEPLOYMENTS,
        WorkloadKind::StatefulSet => Collection::STATEFUL_SETS,
    }
}

/// Waits until the status says that all pods are ready, and the data plane has them.
async fn ready(cluster: &Cluster, target: &Target) {
    let mut changed = cluster.with_store(|store| store.subscribe());
    let mut routes = cluster.routes();
    loop {
        let wanted = cluster.with_store(|store| {
            let object = store.get(&collection(target.kind), &target.namespace, &target.name)?;
            let status = |key: &str| object.int(&format!("/status/{key}"));
            let observed = status("observedGeneration")? >= object.generation();
            let (want, have) = match target.kind {
                WorkloadKind::DaemonSet => {
                    (status("desiredNumberScheduled")?, status("numberReady")?)
                }
                WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                    (object.int("/spec/replicas")?, status("readyReplicas").unwrap_or(0))
                }
            };
            (observed && want == have).then_some(want)
        });
        if let Some(wanted) = wanted {
            let routes = routes.borrow_and_update();
            let usable =
                routes.backends(&target.namespace, "web").map_or(0, |all| all.usable.len());
            if i64::try_from(usable) == Ok(wanted) {
                return;
            }
        }
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            changed = routes.changed() => if changed.is_err() { return },
        }
    }
}
