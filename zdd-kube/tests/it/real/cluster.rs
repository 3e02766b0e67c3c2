//! A namespace of a real cluster.

use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use http::{HeaderName, HeaderValue};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::real::kubelet;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace, with somebody who runs its pods.
pub(crate) struct Real {
    pub(crate) namespace: String,
    pub(crate) admin: Client,
    pub(crate) audit_log: PathBuf,
    config: Config,
    _tasks: JoinSet<()>,
}

/// Whether pods really run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Level {
    ControlPlane,
    Node,
}

impl Real {
    /// Makes a namespace on the testbed that the environment names.
    pub(crate) async fn new(name: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(variable("KUBECONFIG")).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let admin = zdd_kube::client(config.clone()).unwrap();
        let namespace = format!("{name}-{:06x}", fastrand::u32(..0x0100_0000));
        let mut tasks = JoinSet::new();
        let level = match &*variable("LEVEL") {
            "control-plane" => Level::ControlPlane,
            "node" => Level::Node,
            other => panic!("ZDD_TESTBED_LEVEL is {other}"),
        };
        let audit_log = variable("AUDIT_LOG").into();
        let kind = resource("v1", "Namespace");
        let object = object(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        }));
        let namespaces = Api::<DynamicObject>::all_with(admin.clone(), &kind);
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        if level == Level::ControlPlane {
            kubelet::create_node(&admin).await;
            let (client, namespace) = (admin.clone(), namespace.clone());
            tasks.spawn(async move { kubelet::run(client, &namespace).await });
        }
        let this = Self { namespace, admin, audit_log, config, _tasks: tasks };
        // Without it no pod can be made.
        this.until("v1", "ServiceAccount", "default", |_| true).await;
        this
    }

    /// Returns a client of a user of that name, who may do what roles say.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut config = self.config.clone();
        let header = HeaderName::from_static("impersonate-user");
        config.headers.push((header, HeaderValue::from_str(name).unwrap()));
        zdd_kube::client(config).unwrap()
    }

    pub(crate) fn api(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = resource(version, kind);
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    pub(crate) async fn create(&self, value: Value) {
        let object = object(value);
        let types = object.types.clone().unwrap();
        let api = self.api(&types.api_version, &types.kind);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Waits until an object is as it should be.
    #[track_caller]
    pub(crate) fn until(
        &self,
        version: &str,
        kind: &str,
        name: &str,
        fact: impl Fn(&Value) -> bool,
    ) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let (api, name) = (self.api(version, kind), name.to_owned());
        async move {
            let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let objects = watcher(api, one).applied_objects();
            let found = objects.try_filter_map(|object| {
                let value = serde_json::to_value(object).unwrap();
                std::future::ready(Ok(fact(&value).then_some(value)))
            });
            let mut found = std::pin::pin!(found);
            let waited = tokio::time::timeout(PATIENCE, found.try_next()).await;
            waited
                .unwrap_or_else(|_| panic!("{place}: {name} did not come about"))
                .unwrap()
                .unwrap()
        }
    }

    /// Waits until a Deployment has all its pods, and no other.
    pub(crate) async fn settled(&self, name: &str) -> Value {
        self.until("apps/v1", "Deployment", name, |object| {
            let (spec, status) = (&object["spec"], &object["status"]);
            let all = |field: &str| status[field] == spec["replicas"];
            status["observedGeneration"] == object["metadata"]["generation"]
                && all("replicas")
                && all("updatedReplicas")
                && all("availableReplicas")
        })
        .await
    }

    /// Returns the images of all pods that are not about to end, sorted, each once.
    pub(crate) async fn images(&self) -> Vec<String> {
        let pods = self.api("v1", "Pod").list(&Default::default()).await.unwrap();
        let alive = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let image = |pod: &DynamicObject| {
            pod.data["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
        };
        let mut images: Vec<String> = alive.map(image).collect();
        images.sort();
        images.dedup();
        images
    }
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn resource(version: &str, kind: &str) -> ApiResource {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Returns what the environment says of the testbed.
fn variable(name: &str) -> String {
    let name = format!("ZDD_TESTBED_{name}");
    let hint = "run cargo xtask test --stage control-plane, or set it";
    std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}

/// The template of a pod that the node has an image for.
pub(crate) fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "app",
                "image": image,
                "imagePullPolicy": "Never",
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "readinessProbe": {
                    "httpGet": { "path": "/readyz", "port": "http" },
                    "periodSeconds": 1,
                },
            }],
        },
    })
}

pub(crate) fn deployment(replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template("web", image),
        },
    })
}

pub(crate) fn service(app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": app },
        "spec": {
            "selector": { "app": app },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}

/// A StatefulSet of two pods, or a DaemonSet.
pub(crate) fn workload(kind: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": template(name, "web:1"),
        },
    });
    if kind == "StatefulSet" {
        object["spec"]["replicas"] = json!(2);
        object["spec"]["serviceName"] = json!(name);
    }
    object
}
