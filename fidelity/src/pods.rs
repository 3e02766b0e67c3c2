//! Plays kubelet and scheduler.

use std::time::Duration;

use anyhow::Context;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zdd_sim::Clock;

use crate::command::PodAct;
use crate::http::{expect, uri};

const POLL: Duration = Duration::from_millis(20);
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// What the pods of a script need from a node.
pub(crate) struct Pods<'a> {
    pub(crate) client: &'a Client,
    pub(crate) namespace: &'a str,
    /// Counts the addresses that were given away.
    pub(crate) addresses: &'a mut u32,
    pub(crate) clock: Clock,
}

impl Pods<'_> {
    /// Waits until exactly `count` pods are in the state in which the act makes sense, and does it.
    pub(crate) async fn act(
        &mut self,
        act: &PodAct,
        selector: &str,
        count: usize,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let pods = loop {
            let pods = self.candidates(act, selector).await?;
            if pods.len() == count {
                break pods;
            }
            if Instant::now() > deadline {
                anyhow::bail!("{} pods {selector} instead of {count} within {limit:?}", pods.len());
            }
            sleep(POLL).await;
        };
        for pod in &pods {
            self.one(act, pod).await?;
        }
        Ok(())
    }

    async fn candidates(&self, act: &PodAct, selector: &str) -> anyhow::Result<Vec<Value>> {
        let uri = uri(self.namespace, &format!("pods?labelSelector={selector}"));
        let list = expect(self.client, "GET", &uri, "", &Value::Null).await?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let wanted = |pod: &Value| {
            let terminating = pod["metadata"].get("deletionTimestamp").is_some();
            match act {
                PodAct::Bind(_) => !terminating && pod["spec"].get("nodeName").is_none(),
                PodAct::Finish => terminating,
                PodAct::Ready => !terminating && !is_ready(pod),
                PodAct::Unready => !terminating && is_ready(pod),
            }
        };
        Ok(pods.into_iter().filter(wanted).collect())
    }

    async fn one(&mut self, act: &PodAct, pod: &Value) -> anyhow::Result<()> {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        let at = |rest: &str| uri(self.namespace, &format!("pods/{name}{rest}"));
        let (method, uri, kind, body) = match act {
            PodAct::Bind(node) => {
                let target = json!({"apiVersion": "v1", "kind": "Node", "name": node});
                let body = json!({"metadata": {"name": name}, "target": target});
                ("POST", at("/binding"), "application/json", body)
            }
            PodAct::Finish => {
                let uid = &pod["metadata"]["uid"];
                let body = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
                ("DELETE", at(""), "application/json", body)
            }
            PodAct::Ready => ("PATCH", at("/status"), STRATEGIC, self.running(pod)),
            PodAct::Unready => {
                ("PATCH", at("/status"), STRATEGIC, unready(pod, &self.clock.stamp()))
            }
        };
        expect(self.client, method, &uri, kind, &body).await.map(drop)
    }

    fn running(&mut self, pod: &Value) -> Value {
        *self.addresses += 1;
        let address = format!("10.9.0.{}", self.addresses);
        let address = pod["status"]["podIP"].as_str().map_or(address, str::to_owned);
        let now = self.clock.stamp();
        json!({"status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": now,
            "conditions": conditions(&["Initialized", "ContainersReady", "Ready"], "True", &now),
            "containerStatuses": containers(pod, true, &now),
        }})
    }
}

fn unready(pod: &Value, now: &str) -> Value {
    json!({"status": {
        "conditions": conditions(&["ContainersReady", "Ready"], "False", now),
        "containerStatuses": containers(pod, false, now),
    }})
}

fn conditions(names: &[&str], status: &str, now: &str) -> Vec<Value> {
    let condition =
        |name: &&str| json!({"type": name, "status": status, "lastTransitionTime": now});
    names.iter().map(condition).collect()
}

fn containers(pod: &Value, ready: bool, now: &str) -> Vec<Value> {
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let status = |container: &Value| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "",
            "ready": ready, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        })
    };
    containers.iter().map(status).collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
