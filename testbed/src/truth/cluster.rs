//! The objects of a case, and questions about them, by `kubectl`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::case::Hindrance;
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
    testbed: &'a Testbed,
    kubeconfig: PathBuf,
    pub(super) namespace: String,
    pub(super) port: u16,
}

impl<'a> Cluster<'a> {
    /// Names a namespace; nothing is made yet.
    pub(super) fn new(testbed: &'a Testbed, namespace: String, port: u16) -> anyhow::Result<Self> {
        let kubeconfig = testbed.user("truth", Some("system:masters"))?;
        Ok(Self { testbed, kubeconfig, namespace, port })
    }

    /// Deploys version 1 and waits until it is there.
    pub(super) fn deploy(&self, service: &str, hindrance: Hindrance) -> anyhow::Result<()> {
        self.kubectl(&["create", "namespace", &self.namespace])?;
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
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))?;
        self.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"])?;
        Ok(())
    }

    /// Deletes the namespace and waits until it is gone.
    pub(super) fn delete(&self) -> anyhow::Result<()> {
        self.kubectl(&["delete", "namespace", &self.namespace, "--timeout=150s"]).map(|_| ())
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
            let pods = self.kubectl(&["get", "pods", "-o", "name"])?;
            if pods.lines().count() == REPLICAS {
                return Ok(());
            }
            ensure!(begun.elapsed() < Duration::from_secs(150), "old pods do not end: {pods}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns the images that the pods run.
    pub(super) fn images(&self) -> anyhow::Result<Vec<String>> {
        let path = "-o=jsonpath={.items[*].spec.containers[0].image}";
        let images = self.kubectl(&["get", "pods", path])?;
        Ok(images.split_whitespace().map(str::to_owned).collect())
    }

    /// Counts the requests of a user by verb, from the audit log.
    pub(super) fn requests_of(&self, user: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let path = &self.testbed.info().audit_log;
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
            let object = self.kubectl(&["get", "deployment", "web", "-o", "json"])?;
            let object: Value = serde_json::from_str(&object)?;
            if holds(&object["status"]) {
                return Ok(());
            }
            ensure!(begun.elapsed() < limit, "{problem} within {limit:?}: {}", object["status"]);
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn apply(&self, objects: &Value) -> anyhow::Result<()> {
        let mut command = self.command(&["apply", "-f", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().context("failed to start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(objects.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command(args).output().context("failed to start kubectl")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", args.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.testbed.info().bin.join("kubectl"));
        command.args(["--namespace", &self.namespace]).args(args);
        command.env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
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
