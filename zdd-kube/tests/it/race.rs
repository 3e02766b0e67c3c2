//! What others write between the driver's last look at an object and its own write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use tower::ServiceExt;
use zdd_core::{
    Cluster as _, ClusterError, Epoch, Mark, RolloutId, Settings, Snapshot, Step, Template,
};
use zdd_kube::KubeCluster;
use zdd_sim::{Cluster, Collection, Part};

use crate::support::{Running, deployment, started, template, web};

type Edit = fn(&mut Value);

/// A client under whose first patch of a workload, or first deletion of a pod, someone edits the
/// object; and how many of these the client sends.
fn raced(running: &Running, edit: Edit) -> (KubeCluster, Arc<AtomicUsize>) {
    let (sent, edit) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Some(edit))));
    let (cluster, count) = (running.cluster.clone(), Arc::clone(&sent));
    let api = running.cluster.api().map_request(move |request: Request<Body>| {
        if let Some((kind, name)) = written(&request) {
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(edit) = edit.lock().unwrap().take() {
                make(&cluster, &kind, &name, edit);
            }
        }
        request
    });
    (KubeCluster::new(kube::Client::new(api, "default")), sent)
}

fn written(request: &Request<Body>) -> Option<(Collection, String)> {
    let (place, name) = request.uri().path().rsplit_once('/')?;
    match (request.method(), place.rsplit_once('/')?.1) {
        (&Method::PATCH, "deployments") => Some((Collection::DEPLOYMENTS, name.to_owned())),
        (&Method::DELETE, "pods") => Some((Collection::PODS, name.to_owned())),
        _ => None,
    }
}

fn make(cluster: &Cluster, kind: &Collection, name: &str, edit: Edit) {
    let actor = Arc::from("someone");
    cluster
        .with_store(|store| store.modify(&actor, kind, Part::Main, ("default", name), edit))
        .unwrap();
}

fn set(image: &str) -> Step {
    Step::SetTemplate { template: Template::new(template(image)), settings: Settings::default() }
}

fn image(running: &Running) -> String {
    let deployment = running.deployment();
    deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_template_that_someone_sets_in_that_moment_is_not_overwritten() {
    let running = started().await;
    let (cluster, sent) = raced(&running, |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:hotfix");
    });
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    let error = cluster.apply(&set("web:2"), &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert_eq!(image(&running), "web:hotfix");
    assert_eq!(sent.load(Ordering::Relaxed), 1, "a look showed that it matters");
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_someone_sets_in_that_moment_stays_and_the_step_is_made() {
    let running = started().await;
    // Where it is made is no part of the desired state, but it makes a new version of the object.
    let (cluster, sent) = raced(&running, |object| {
        object["metadata"]["labels"]["team"] = json!("shop");
    });
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    cluster.apply(&set("web:2"), &seen, &mark).await.unwrap();
    assert_eq!(image(&running), "web:2");
    assert_eq!(running.deployment()["metadata"]["labels"]["team"], "shop");
    assert_eq!(sent.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_replaced_in_that_moment_writes_nothing() {
    let running = started().await;
    let (cluster, _) = raced(&running, |object| {
        object["metadata"]["labels"]["zdd.dev/epoch"] = json!("2");
    });
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    let error = cluster.apply(&set("web:2"), &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Fenced { .. }), "{error}");
    assert_eq!(image(&running), "web:1");

    let (cluster, _) = raced(&running, |object| {
        object["metadata"]["labels"]["zdd.dev/epoch"] = json!("4");
    });
    let error = cluster.fence(&Mark::new(&target, &rollout, Epoch::new(3))).await.unwrap_err();
    assert!(matches!(error, ClusterError::Fenced { .. }), "{error}");
    assert_eq!(running.deployment()["metadata"]["labels"]["zdd.dev/epoch"], "4");
}

/// A probe of a pod fails.
fn unready(running: &Running, pod: &str) {
    let fail = |pod: &mut Value| {
        let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
        conditions.iter_mut().find(|one| one["type"] == "Ready").unwrap()["status"] =
            "False".into();
    };
    let (kubelet, place) = (Arc::from("kubelet"), ("default", pod));
    running
        .cluster
        .with_store(|store| store.modify(&kubelet, &Collection::PODS, Part::Status, place, fail))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_written_in_that_moment_is_not_deleted() {
    let running = started().await;
    let pods = running.list(&Collection::PODS);
    let (name, uid) = (&pods[0]["metadata"]["name"], &pods[0]["metadata"]["uid"]);
    let (name, uid) = (name.as_str().unwrap().to_owned(), uid.as_str().unwrap());
    unready(&running, &name);
    let (cluster, _) = raced(&running, |pod| pod["metadata"]["labels"]["team"] = json!("shop"));
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    let step = Step::DeletePod { uid: zdd_core::Uid::new(uid), name: name.clone() };
    let error = cluster.apply(&step, &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert!(running.get(&Collection::PODS, &name).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_serves_or_is_another_one_by_now_is_not_deleted() {
    let running = started().await;
    let pod = running.list(&Collection::PODS).remove(0);
    let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
    let name = text("name");
    let cluster = KubeCluster::new(running.cluster.client());
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    let delete = |uid: String| Step::DeletePod { uid: zdd_core::Uid::new(uid), name: name.clone() };
    let error = cluster.apply(&delete(text("uid")), &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    // It is gone, which is what was wanted; its namesake is none of the step's business.
    unready(&running, &name);
    cluster.apply(&delete("another".to_owned()), &seen, &mark).await.unwrap();
    let pod = running.get(&Collection::PODS, &name).unwrap();
    assert!(pod["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_namesake_in_the_same_state_is_another_object() {
    let running = started().await;
    let cluster = KubeCluster::new(running.cluster.client());
    let (target, rollout) = (web(), RolloutId::new("r1"));
    let mark = Mark::new(&target, &rollout, Epoch::new(1));
    let seen = cluster.observe(&target).await.unwrap();
    running.delete(&Collection::DEPLOYMENTS, "web");
    running.create(deployment(6, "web:1")).await;
    let generation = |snapshot: &Snapshot| snapshot.workload.as_ref().unwrap().generation;
    let namesake = cluster.observe(&target).await.unwrap();
    assert_eq!(generation(&namesake), generation(&seen));
    let error = cluster.apply(&set("web:2"), &seen, &mark).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert_eq!(image(&running), "web:1");
}
