//! The REST protocol, driven by kube's own client.

mod access;
mod admission;
mod apply;
mod crud;
mod defaults;
mod delete;
mod discovery;
mod eviction;
mod faults;
mod list;
mod patch;
mod scale;
mod validate;
mod watch;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, PostParams};
use kube::core::Status;
use kube::{Client, Error};
use serde_json::{Value, json};
use zdd_sim::{ApiServer, Clock, Store};

/// A cluster without controllers, and a client of it.
pub(crate) struct Bed {
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) server: ApiServer,
    pub(crate) client: Client,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Arc::new(Mutex::new(Store::new(clock, 7)));
        let server = ApiServer::new(Arc::clone(&store));
        let client = Client::new(server.clone(), "default");
        Self { store, server, client }
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn config_maps(&self) -> Api<ConfigMap> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) async fn add_config_map(&self, name: &str) -> ConfigMap {
        let map = config_map(name);
        self.config_maps().create(&PostParams::default(), &map).await.unwrap()
    }

    pub(crate) async fn add_deployment(&self, name: &str) -> Deployment {
        let object = deployment(name);
        self.deployments().create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) async fn add_pod(&self, name: &str) -> Pod {
        self.pods().create(&PostParams::default(), &pod(name)).await.unwrap()
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn config_map(name: &str) -> ConfigMap {
    read(json!({ "metadata": { "name": name, "labels": { "app": name } }, "data": { "a": "1" } }))
}

pub(crate) fn deployment_json(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [
                    { "name": "web", "image": "web:1", "ports": [{ "containerPort": 80 }] },
                    { "name": "log", "image": "log:1" },
                ] },
            },
        },
    })
}

pub(crate) fn deployment(name: &str) -> Deployment {
    read(deployment_json(name))
}

pub(crate) fn pod(name: &str) -> Pod {
    read(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "nodeName": "n1", "containers": [{ "name": "web", "image": "web:1" }] },
    }))
}

/// The refusal in an error.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("wanted a refusal, got {other:?}"),
    }
}

/// Code, reason and message of a refusal.
#[track_caller]
pub(crate) fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let status = refusal(result);
    format!("{} {}: {}", status.code, status.reason, status.message)
}
