//! The objects of a case, and questions about them, by `kubectl`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::case::Hindrance;
use super::kubectl::Kubectl;
use crate::testbed::Testbed;

/// Pods of the service.
pub(super) const REPLICAS: usize = 6;
/// Seconds that a pod may take to end: more than a standstill of the data plane lasts.
const GRACE: u32 = 60;
/// How often a fact is looked at while it is waited for.
const INTERVAL: Duration = Duration::from_millis(200);

/// A namespace of its own with the service in it.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    kubectl: Kubectl<'a>,
    pub(super) port: u16,
}

impl<'a> Cluster<'a> {
    /// Names a namespace; nothing is made yet.
    pub(super) fn new(testbed: &'a Testbed, namespace: String, port: u16) -> anyhow::Result<Self> {
        Ok(Self { kubectl: Kubectl::new(testbed, "truth", namespace)?, port })
    }

    /// Deploys version 1 and waits until it is there.
    pub(super) async fn deploy(&self, service: &str, hindrance: Hindrance) -> anyhow::Result<()> {
        self.kubectl.run(&["create", "namespace", &self.kubectl.namespace]).await?;
        let mut items = vec![deployment(service), node_port(self.port)];
        match hindrance {
            Hindrance::Budget => items.push(json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
                "spec": { "minAvailable": REPLICAS, "selector": { "matchLabels": { "app": "web" } } },
            })),
            Hindrance::Quota => items.push(json!({
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "pods" },
                "spec": { "hard": { "pods": REPLICAS.to_string() } },
            })),
            Hindrance::DriverKilled
            | Hindrance::Killed(_)
            | Hindrance::Nothing
            | Hindrance::Stands(..) => {}
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        self.kubectl.apply(&list).await?;
        self.kubectl.run(&["rollout", "status", "deployment/web", "--timeout=120s"]).await?;
        Ok(())
    }

    /// Deletes the namespace and waits until it is gone.
    pub(super) async fn delete(&self) -> anyhow::Result<()> {
        let args = ["delete", "namespace", &self.kubectl.namespace, "--timeout=150s"];
        self.kubectl.run(&args).await.map(|_| ())
    }

    /// Waits until the controller has made a pod of the new version.
    pub(super) async fn begun(&self) -> anyhow::Result<()> {
        self.until("no new pod was made", Duration::from_secs(60), |status| {
            status["updatedReplicas"].as_u64().unwrap_or(0) > 0
                && status["observedGeneration"].as_u64().unwrap_or(0) > 1
        })
        .await
    }

    /// Waits until there are no pods but those that are wanted: every old one has ended.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let pods = self.kubectl.run(&["get", "pods", "-o", "name"]).await?;
            if pods.lines().count() == REPLICAS {
                return Ok(());
            }
            ensure!(begun.elapsed() < Duration::from_secs(150), "old pods do not end: {pods}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns the images that the pods run.
    pub(super) async fn images(&self) -> anyhow::Result<Vec<String>> {
        let path = "-o=jsonpath={.items[*].spec.containers[0].image}";
        let images = self.kubectl.run(&["get", "pods", path]).await?;
        Ok(images.split_whitespace().map(str::to_owned).collect())
    }

    /// Counts the requests of a user by verb, from the audit log.
    pub(super) fn requests_of(&self, user: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let path = &self.kubectl.testbed.info().audit_log;
        let log = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let mut counts = BTreeMap::new();
        for line in log.lines() {
            // The last line may be half written.
            let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
            if event["user"]["username"] == user
                && let Some(verb) = event["verb"].as_str()
            {
                *counts.entry(verb.to_owned()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    async fn until(
        &self,
        problem: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let object = self.kubectl.run(&["get", "deployment", "web", "-o", "json"]).await?;
            let object: Value = serde_json::from_str(&object)?;
            if holds(&object["status"]) {
                return Ok(());
            }
            ensure!(begun.elapsed() < limit, "{problem} within {limit:?}: {}", object["status"]);
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

fn deployment(service: &str) -> Value {
    let probe = |path: &str, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": 8080 },
            "periodSeconds": 1, "failureThreshold": failures,
        })
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "replicas": REPLICAS,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "terminationGracePeriodSeconds": GRACE,
                    "containers": [{
                        "name": "web",
                        "image": format!("{service}:1"),
                        "imagePullPolicy": "IfNotPresent",
                        "env": [
                            { "name": "ZDD_TERMINATION_GRACE", "value": GRACE.to_string() },
                            { "name": "ZDD_SHUTDOWN_DEADLINE", "value": "50s" },
                            { "name": "ZDD_SHUTDOWN_LAME_DUCK_MAX", "value": "35s" },
                        ],
                        "readinessProbe": probe("/readyz", 1),
                        "livenessProbe": probe("/livez", 3),
                    }],
                },
            },
        },
    })
}

fn node_port(port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web" },
        "spec": {
            "type": "NodePort",
            "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": 8080, "nodePort": port }],
        },
    })
}
