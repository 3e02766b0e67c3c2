//! Plays scheduler and kubelet where there is none: pods of one namespace are said to run.

use futures::StreamExt;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams,
    PostParams, Preconditions, Request,
};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

/// The node on which all pods are.
const NODE: &str = "played";

/// Makes the node, unless another test has.
pub(crate) async fn create_node(client: &Client) {
    let kind = GroupVersionKind::gvk("", "v1", "Node");
    let nodes = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE } });
    let node = serde_json::from_value(node).unwrap();
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        created => drop(created.unwrap()),
    }
    // An API server says of every new node that it is not ready, and keeps pods away.
    let ready = json!({ "spec": { "taints": null } });
    nodes.patch(NODE, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    let status = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Played", "message": "" }],
        "allocatable": { "cpu": "100", "memory": "100Gi", "pods": "1000" },
        "capacity": { "cpu": "100", "memory": "100Gi", "pods": "1000" },
    } });
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

/// Runs the pods of a namespace, for ever.
pub(crate) async fn run(client: Client, namespace: &str) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    let mut changes = std::pin::pin!(
        watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects()
    );
    let mut address = 1;
    while let Some(change) = changes.next().await {
        // The watch comes back by itself.
        let Ok(pod) = change else { continue };
        address += 1;
        match step(&client, &pods, &pod, address).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            stepped => stepped.unwrap(),
        }
    }
}

async fn step(
    client: &Client,
    pods: &Api<DynamicObject>,
    pod: &DynamicObject,
    address: u16,
) -> kube::Result<()> {
    let name = pod.metadata.name.clone().unwrap();
    if pod.metadata.deletion_timestamp.is_some() {
        let uid = pod.metadata.uid.clone();
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let now =
            DeleteParams { grace_period_seconds: Some(0), preconditions, ..Default::default() };
        return pods.delete(&name, &now).await.map(drop);
    }
    if pod.data["spec"]["nodeName"].is_null() {
        return bind(client, pods, &name).await;
    }
    let image = pod.data["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    if image.ends_with(":missing") {
        if pod.data["status"]["containerStatuses"].is_null() {
            let state = json!({ "waiting": {
                "reason": "ErrImageNeverPull", "message": "Container image is not present",
            } });
            return report(pods, &name, "Pending", image, &state, address).await;
        }
    } else if pod.data["status"]["phase"] == "Pending" {
        let state = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
        return report(pods, &name, "Running", image, &state, address).await;
    }
    Ok(())
}

async fn bind(client: &Client, pods: &Api<DynamicObject>, name: &str) -> kube::Result<()> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
    });
    let binding = serde_json::to_vec(&binding).unwrap();
    let request = Request::new(pods.resource_url());
    let request = request.create_subresource("binding", name, &PostParams::default(), binding);
    client.request::<Value>(request.unwrap()).await.map(drop)
}

async fn report(
    pods: &Api<DynamicObject>,
    name: &str,
    phase: &str,
    image: &str,
    state: &Value,
    address: u16,
) -> kube::Result<()> {
    let ready = phase == "Running";
    let truth = if ready { "True" } else { "False" };
    let [high, low] = address.to_be_bytes();
    let ip = format!("10.245.{high}.{low}");
    let since = jiff::Timestamp::now().to_string();
    let condition = |kind: &str, truth: &str| json!({ "type": kind, "status": truth, "lastTransitionTime": since });
    let status = json!({ "status": {
        "phase": phase,
        "conditions": [
            condition("PodScheduled", "True"),
            condition("Initialized", "True"),
            condition("ContainersReady", truth),
            condition("Ready", truth),
        ],
        "podIP": ip,
        "podIPs": [{ "ip": ip }],
        "startTime": since,
        "containerStatuses": [{
            "name": "app",
            "image": image,
            "imageID": "",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
        }],
    } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
}
