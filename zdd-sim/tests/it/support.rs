//! A cluster in paused time, and objects for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, ClusterBuilder, Collection, Object, Part};

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

pub(crate) fn user() -> Arc<str> {
    Arc::from("user")
}

impl Running {
    pub(crate) fn create(&self, collection: &Collection, object: Value) -> Arc<Value> {
        self.cluster.with_store(|store| store.create(&user(), collection, object)).unwrap()
    }

    pub(crate) fn edit(&self, collection: &Collection, name: &str, edit: impl FnOnce(&mut Value)) {
        self.cluster
            .with_store(|store| {
                store.modify(&user(), collection, Part::Main, ("default", name), edit)
            })
            .unwrap();
    }

    pub(crate) fn get(&self, collection: &Collection, name: &str) -> Option<Arc<Value>> {
        self.cluster.with_store(|store| store.get(collection, "default", name).cloned())
    }

    pub(crate) fn list(&self, collection: &Collection) -> Vec<Arc<Value>> {
        self.cluster.with_store(|store| store.list(collection, Some("default")).cloned().collect())
    }

    /// Waits until a fact about the store holds, and fails after `limit` of virtual time.
    #[track_caller]
    pub(crate) fn until(
        &self,
        limit: Duration,
        mut fact: impl FnMut(&Self) -> bool,
    ) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let mut changed = self.cluster.with_store(|store| store.subscribe());
            let wait = async {
                while !fact(self) {
                    changed.changed().await.unwrap();
                }
            };
            let waited = tokio::time::timeout(limit, wait).await;
            assert!(waited.is_ok(), "{place}: not within {limit:?}\n{}", self.summary());
        }
    }

    pub(crate) async fn complete(&self, name: &str) {
        self.until(Duration::from_secs(600), |running| {
            running.get(&Collection::DEPLOYMENTS, name).is_some_and(|object| is_complete(&object))
        })
        .await;
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for collection in [Collection::DEPLOYMENTS, Collection::REPLICA_SETS, Collection::PODS] {
            for object in self.list(&collection) {
                text += &format!("{collection} {}: {}\n", object.name(), object["status"]);
            }
        }
        text
    }
}

pub(crate) fn is_complete(deployment: &Value) -> bool {
    let wanted = deployment.int("/spec/replicas").unwrap_or(1);
    let count = |key: &str| deployment["status"][key].as_i64().unwrap_or_default();
    count("observedGeneration") >= deployment.generation()
        && ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|key| count(key) == wanted)
}

pub(crate) fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{
            "name": "app",
            "image": image,
            "ports": [{"name": "http", "containerPort": 8080}],
        }]},
    })
}

pub(crate) fn deployment(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
        },
    })
}

pub(crate) fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    })
}
