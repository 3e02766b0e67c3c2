//! A cluster in paused time with one workload, and drivers for it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_core::{
    Backend, Change, Cluster as _, Completion, Report, Rollout, RolloutError, RolloutId, Snapshot,
    Target, chain,
};
use zdd_kube::KubeCluster;
use zdd_sim::{
    ApiServer, Behaviour, Cluster, ClusterBuilder, Collection, Deletion, Object, Part, Routes,
};
use zdd_strategies::Rolling;

/// A cluster that runs as long as the value lives.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    _tasks: JoinSet<()>,
}

pub(crate) fn start(builder: ClusterBuilder) -> Running {
    let cluster = builder.build();
    let mut tasks = JoinSet::new();
    let driven = cluster.clone();
    tasks.spawn(async move { driven.run(CancellationToken::new()).await });
    Running { cluster, _tasks: tasks }
}

/// A cluster with a Deployment of six pods behind a Service, all of it up.
pub(crate) async fn started() -> Running {
    started_with(deployment(6, "web:1")).await
}

pub(crate) async fn started_with(deployment: Value) -> Running {
    started_in(Cluster::builder().seed(7), deployment).await
}

pub(crate) async fn started_in(cluster: ClusterBuilder, deployment: Value) -> Running {
    let running = start(cluster);
    running.create(service()).await;
    running.create(deployment).await;
    running.settle("web").await;
    let replicas = running.deployment().int("/spec/replicas").unwrap();
    let usable =
        |routes: &Routes| routes.backends("default", "web").map_or(0, |to| to.usable.len());
    let all = |routes: &Arc<Routes>| i64::try_from(usable(routes)) == Ok(replicas);
    running.cluster.routes().wait_for(all).await.unwrap();
    running
}

pub(crate) fn web() -> Target {
    Target::deployment("default", "web")
}

pub(crate) fn to(image: &str) -> Change {
    Change::image("app", image)
}

pub(crate) fn rollout(backend: Backend, change: Change) -> Rollout {
    Rollout::new(backend, web(), change, Rolling::default()).id(RolloutId::new("r1"))
}

/// The answer of a rollout that should have been refused, with its causes on one line.
#[track_caller]
pub(crate) fn refusal(result: Result<Report, RolloutError>) -> String {
    chain(&result.map(|report| report.outcome).unwrap_err())
}

fn user() -> Arc<str> {
    Arc::from("user")
}

impl Running {
    /// Makes the ports of a driver of its own.
    pub(crate) fn backend(&self) -> Backend {
        zdd_kube::backend(self.cluster.client())
    }

    pub(crate) fn backend_on(api: ApiServer) -> Backend {
        zdd_kube::backend(kube::Client::new(api, "default"))
    }

    /// Creates an object through the API server, which completes it.
    pub(crate) async fn create(&self, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.as_ref().unwrap();
        let kind = GroupVersionKind::try_from(types).unwrap();
        let resource = ApiResource::from_gvk(&kind);
        let api =
            Api::<DynamicObject>::namespaced_with(self.cluster.client(), "default", &resource);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) fn edit(&self, collection: &Collection, name: &str, edit: impl FnOnce(&mut Value)) {
        self.cluster
            .with_store(|store| {
                store.modify(&user(), collection, Part::Main, ("default", name), edit)
            })
            .unwrap();
    }

    pub(crate) fn delete(&self, collection: &Collection, name: &str) {
        self.cluster
            .with_store(|store| {
                store.delete(&user(), collection, ("default", name), &Deletion::default())
            })
            .unwrap();
    }

    pub(crate) fn get(&self, collection: &Collection, name: &str) -> Option<Arc<Value>> {
        self.cluster.with_store(|store| store.get(collection, "default", name).cloned())
    }

    pub(crate) fn list(&self, collection: &Collection) -> Vec<Arc<Value>> {
        self.cluster.with_store(|store| store.list(collection, Some("default")).cloned().collect())
    }

    pub(crate) fn deployment(&self) -> Arc<Value> {
        self.get(&Collection::DEPLOYMENTS, "web").unwrap()
    }

    /// The images of all pods that are not about to end, without repetition.
    pub(crate) fn images(&self) -> Vec<String> {
        self.images_of(&web())
    }

    /// As above, for the pods whose names begin with the target's.
    pub(crate) fn images_of(&self, target: &Target) -> Vec<String> {
        let image = |pod: &Arc<Value>| {
            pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()
        };
        let mut images: Vec<String> = self
            .list(&Collection::PODS)
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .filter(|pod| pod.name().starts_with(&format!("{}-", target.name)))
            .map(image)
            .collect();
        images.sort();
        images.dedup();
        images
    }

    /// Waits until a fact about the store holds, and fails after ten minutes of virtual time.
    #[track_caller]
    pub(crate) fn until(&self, mut fact: impl FnMut(&Self) -> bool) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let mut changed = self.cluster.with_store(|store| store.subscribe());
            let wait = async {
                while !fact(self) {
                    changed.changed().await.unwrap();
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(600), wait).await;
            assert!(waited.is_ok(), "{place}: did not come about");
        }
    }

    /// Waits until a workload is complete by zdd's own rules.
    pub(crate) async fn up(&self, target: &Target) {
        let cluster = KubeCluster::new(self.cluster.client());
        let complete = |snapshot: Snapshot| {
            snapshot.workload.is_some_and(|workload| workload.completion == Completion::Complete)
        };
        let mut snapshots = cluster.watch(target);
        let wait = async { while !complete(snapshots.next().await.unwrap().unwrap()) {} };
        tokio::time::timeout(Duration::from_secs(600), wait).await.unwrap();
    }

    /// Puts an image into the registry whose container ends at once, again and again.
    pub(crate) fn push_crashing(&self, name: &str) {
        self.cluster.push_image(name, Behaviour::crashing());
    }

    /// Waits until a Deployment and its endpoints are up.
    pub(crate) async fn settle(&self, name: &str) {
        self.until(|running| {
            let object = running.get(&Collection::DEPLOYMENTS, name).unwrap();
            let wanted = object.int("/spec/replicas").unwrap_or(1);
            let slices = running.list(&Collection::ENDPOINT_SLICES);
            let endpoints: usize =
                slices.iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len)).sum();
            object.int("/status/availableReplicas").unwrap_or(0) == wanted
                && (running.list(&Collection::SERVICES).is_empty()
                    || endpoints == usize::try_from(wanted).unwrap())
        })
        .await;
    }
}

pub(crate) fn deployment(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template(image),
        },
    })
}

pub(crate) fn template(image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{
            "name": "app",
            "image": image,
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" } },
        }] },
    })
}

pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "selector": { "app": "web" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}

pub(crate) fn stateful_set(replicas: i64, image: &str) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"] = json!({ "app": "db" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "db", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": { "matchLabels": { "app": "db" } },
            "template": template,
        },
    })
}

pub(crate) fn daemon_set(image: &str) -> Value {
    let mut template = template(image);
    template["metadata"]["labels"] = json!({ "app": "agent" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "agent", "namespace": "default" },
        "spec": { "selector": { "matchLabels": { "app": "agent" } }, "template": template },
    })
}
