//! Who gets the requests of a Service, and what becomes of them.

use std::time::Duration;

use serde_json::json;
use zdd_sim::{
    Answers, Behaviour, Cluster, ClusterBuilder, Collection, Controller, Counts, Deletion, Images,
    Latencies, LoadSpec, LossCause, Object, Traffic,
};

use crate::support::{Running, deployment, service, start, user};

const MINUTES: Duration = Duration::from_secs(600);
const LAG: Duration = Duration::from_secs(2);

/// A cluster whose only delay is that of the data plane.
fn lagging(behaviour: Behaviour) -> ClusterBuilder {
    let images = Images::new().with("web:1", behaviour).with("web:2", behaviour);
    Cluster::builder().images(images).latencies(Latencies::none().data_plane(LAG))
}

/// Starts a Service with `replicas` pods and sends a thousand requests per second.
async fn under_load(builder: ClusterBuilder, replicas: i64) -> (Running, Traffic) {
    let running = start(builder);
    running.create(&Collection::SERVICES, service());
    let mut object = deployment(replicas, "web:1");
    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    running.create(&Collection::DEPLOYMENTS, object);
    let wanted = usize::try_from(replicas).unwrap();
    let mut routes = running.cluster.routes();
    let ready = routes.wait_for(|routes| {
        routes.backends("default", "web").is_some_and(|known| known.usable.len() == wanted)
    });
    ready.await.unwrap();
    let load = LoadSpec::new("default", "web", 1000).lasting(Duration::from_millis(100));
    let traffic = running.cluster.send(load);
    (running, traffic)
}

fn roll(running: &Running) {
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    });
}

fn delete_pod(running: &Running, grace_seconds: Option<i64>) {
    let pod = running.list(&Collection::PODS)[0].name().to_owned();
    running.cluster.with_store(|store| {
        let mut deletion = Deletion::default();
        deletion.grace_seconds = grace_seconds;
        let place = ("default", pod.as_str());
        store.delete(&user(), &Collection::PODS, place, &deletion).unwrap();
    });
}

async fn after(time: Duration, traffic: &Traffic) -> Counts {
    tokio::time::sleep(time).await;
    traffic.counts()
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_time_and_rate() {
    let (_running, traffic) = under_load(lagging(Behaviour::default()), 2).await;
    let counts = after(Duration::from_secs(10), &traffic).await;
    assert_eq!((counts.sent, counts.failed), (10_000, 0));
    traffic.set_rate(10);
    let counts = after(Duration::from_secs(10), &traffic).await;
    assert_eq!((counts.sent, counts.failed), (10_100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_before_the_data_plane_hears_of_it_loses_its_share() {
    let (running, traffic) = under_load(lagging(Behaviour::abrupt()), 2).await;
    delete_pod(&running, None);
    let counts = after(Duration::from_secs(10), &traffic).await;
    // Half of a thousand per second for the two seconds of lag.
    assert_eq!(counts.causes.get(&LossCause::Gone), Some(&1000));
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_longer_than_the_lag_loses_nothing() {
    for (lame_duck, failed) in [(1900, 50), (2000, 0), (5000, 0)] {
        let behaviour = Behaviour::default().lame_duck(Duration::from_millis(lame_duck));
        let (running, traffic) = under_load(lagging(behaviour), 2).await;
        delete_pod(&running, None);
        let counts = after(Duration::from_secs(10), &traffic).await;
        assert_eq!(counts.failed, failed, "{lame_duck} ms: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_cut_when_the_drain_is_too_short_for_them() {
    let images = |drain| lagging(Behaviour::default().drain(Duration::from_millis(drain)));
    for (drain, cut) in [(0, false), (100, false)] {
        // The lame duck is longer than the lag: nothing is in flight any more at its end.
        let (running, traffic) = under_load(images(drain), 2).await;
        delete_pod(&running, None);
        let counts = after(Duration::from_secs(20), &traffic).await;
        assert_eq!(counts.causes.contains_key(&LossCause::Cut), cut, "{counts:?}");
    }
    // SIGKILL while requests run: those of the last 100 ms on one of two pods.
    let (running, traffic) = under_load(images(0), 2).await;
    delete_pod(&running, Some(1));
    let counts = after(Duration::from_secs(20), &traffic).await;
    assert_eq!(counts.causes.get(&LossCause::Cut), Some(&50), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_data_plane_sends_requests_into_the_void() {
    let (running, traffic) = under_load(lagging(Behaviour::default()), 3).await;
    running.cluster.freeze_data_plane();
    roll(&running);
    running.complete("web").await;
    running.until(MINUTES, |running| running.list(&Collection::PODS).len() == 3).await;
    let counts = after(Duration::from_secs(1), &traffic).await;
    assert!(counts.failed > 0, "{counts:?}");
    running.cluster.thaw_data_plane();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = traffic.counts().failed;
    let counts = after(Duration::from_secs(10), &traffic).await;
    assert_eq!(counts.failed, before);
}

#[tokio::test(start_paused = true)]
async fn a_paused_endpoint_slice_controller_keeps_old_pods_in_the_routes() {
    let (running, traffic) = under_load(lagging(Behaviour::default()), 2).await;
    running.cluster.pause(Controller::EndpointSlice);
    roll(&running);
    running.complete("web").await;
    running.until(MINUTES, |running| running.list(&Collection::PODS).len() == 2).await;
    assert!(after(Duration::from_secs(1), &traffic).await.failed > 0);
    running.cluster.resume(Controller::EndpointSlice);
    tokio::time::sleep(LAG + Duration::from_millis(10)).await;
    let before = traffic.counts().failed;
    assert_eq!(after(Duration::from_secs(10), &traffic).await.failed, before);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_answers_with_errors_is_counted_against_itself() {
    let bad = Behaviour::default().answers(Answers::Errors(250));
    let images = Images::any().with("web:2", bad);
    let builder = Cluster::builder().images(images).latencies(Latencies::none());
    let (running, traffic) = under_load(builder, 2).await;
    roll(&running);
    running.complete("web").await;
    let counts = after(Duration::from_secs(10), &traffic).await;
    let failing: Vec<_> = counts.revisions.values().filter(|served| served.failed > 0).collect();
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].failed, failing[0].sent.div_ceil(4));
    assert_eq!(counts.causes.get(&LossCause::Error), Some(&counts.failed));
}

#[tokio::test(start_paused = true)]
async fn terminating_pods_serve_when_there_is_nobody_else() {
    let builder = lagging(Behaviour::default().lame_duck(Duration::from_secs(10)));
    let (running, traffic) = under_load(builder, 2).await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["replicas"] = 0.into());
    let counts = after(Duration::from_secs(9), &traffic).await;
    assert_eq!(counts.failed, 0, "{counts:?}");
    let counts = after(Duration::from_secs(20), &traffic).await;
    assert!(counts.causes.contains_key(&LossCause::NoEndpoint), "{counts:?}");
}
