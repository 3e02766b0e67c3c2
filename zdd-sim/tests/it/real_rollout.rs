//! A Deployment of real pods behind the real data plane, under real load.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use zdd_load::{Endpoints, Load, Mode, Report};
use zdd_sim::{
    Cluster, Collection, Image, Images, Latencies, Object, Proxy, ServiceCounts, ServicePort,
};

use crate::support::{Running, deployment, is_complete, service, start};
use crate::web::{AtTerm, process_image, service_image};

const LIMIT: Duration = Duration::from_secs(60);
/// How far the data plane is behind the EndpointSlices.
const LAG: Duration = Duration::from_millis(150);

/// What the data plane does during a rollout.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Plane {
    Follows,
    StandsStill,
}

/// What one rollout from `web:1` to `web:2` came to.
struct Rollout {
    keep_alive: Report,
    fresh: Report,
    proxy: ServiceCounts,
}

impl Rollout {
    async fn run(old: impl Into<Image>, new: impl Into<Image>) -> Self {
        Self::with_plane(old, new, Plane::Follows).await
    }

    async fn with_plane(old: impl Into<Image>, new: impl Into<Image>, plane: Plane) -> Self {
        let images = Images::new().with("web:1", old).with("web:2", new);
        let latencies = Latencies::default().data_plane(LAG);
        let running = start(Cluster::builder().images(images).latencies(latencies));
        let mut web = deployment(3, "web:1");
        web["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
            json!({"httpGet": {"port": "http"}, "periodSeconds": 1});
        running.create(&Collection::SERVICES, service());
        running.create(&Collection::DEPLOYMENTS, web);
        let port = ServicePort::new("default", "web", "http");
        let proxy = Proxy::new(running.cluster.routes());
        let address = proxy.listen(port.clone(), (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        settled(&running, "web:1").await;

        let keep_alive = load(address, Mode::KeepAlive).start().unwrap();
        let fresh = load(address, Mode::Fresh).start().unwrap();
        if plane == Plane::StandsStill {
            running.cluster.freeze_data_plane();
        }
        running.edit(&Collection::DEPLOYMENTS, "web", |web| {
            web["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
        });
        rolled(&running, "web:2").await;
        running.cluster.thaw_data_plane();
        settled(&running, "web:2").await;
        let (keep_alive, fresh) = (keep_alive.stop().await, fresh.stop().await);
        Self { keep_alive, fresh, proxy: proxy.counts().of(&port) }
    }

    #[track_caller]
    fn assert_rolled_under_load(&self) {
        for report in [&self.keep_alive, &self.fresh] {
            let versions: Vec<_> = report.labels.keys().map(String::as_str).collect();
            assert_eq!(versions, ["1", "2"], "{report}");
            assert!(report.sent > 50, "{report}");
        }
    }
}

fn load(address: SocketAddr, mode: Mode) -> Load {
    Load::new(Endpoints::loopback([address]).unwrap())
        .mode(mode)
        .connections(8)
        .rate(400)
        .max_duration(LIMIT)
        .label_header("x-version")
}

/// Waits until all pods are of this image and the old ones are gone.
async fn rolled(running: &Running, image: &str) {
    running
        .until(LIMIT, |running| {
            let deployment = running.get(&Collection::DEPLOYMENTS, "web");
            let pods = running.list(&Collection::PODS);
            let is_new = |pod: &std::sync::Arc<serde_json::Value>| {
                pod.text("/spec/containers/0/image") == Some(image) && !pod.is_terminating()
            };
            deployment.is_some_and(|web| is_complete(&web))
                && pods.len() == 3
                && pods.iter().all(is_new)
        })
        .await;
}

/// Waits until all pods are of this image, the old ones are gone, and the data plane knows it.
async fn settled(running: &Running, image: &str) {
    rolled(running, image).await;
    let pods = running.list(&Collection::PODS);
    let mut routes = running.cluster.routes();
    let follows = routes.wait_for(|routes| {
        let usable = routes.backends("default", "web").map(|backends| &backends.usable);
        usable.is_some_and(|usable| {
            usable.len() == 3 && usable.iter().all(|e| pods.iter().any(|pod| pod.name() == &*e.pod))
        })
    });
    timeout(LIMIT, follows).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_drain_are_rolled_without_a_failed_request() {
    let old = process_image("1", AtTerm::Drain);
    let rollout = Rollout::run(old, process_image("2", AtTerm::Drain)).await;
    rollout.assert_rolled_under_load();
    assert_eq!(rollout.keep_alive.failed, 0, "{}", rollout.keep_alive);
    assert_eq!(rollout.fresh.failed, 0, "{}", rollout.fresh);
    assert_eq!(rollout.proxy.no_endpoint, 0);
    let total = rollout.proxy.total();
    assert_eq!((total.refused, total.reset_by_backend), (0, 0), "{total:?}");
}

/// The counters bite: the same rollout of a program that ends at SIGTERM loses requests, and
/// client and proxy agree on why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_die_at_sigterm_lose_requests_by_cause() {
    let old = process_image("1", AtTerm::Die);
    let rollout = Rollout::run(old, process_image("2", AtTerm::Drain)).await;
    rollout.assert_rolled_under_load();
    // Each old pod is routed to for at least the lag, with 3 or 4 pods and 400 fresh connections
    // per second: 45 are to be expected.
    let refused = rollout.proxy.total().refused;
    assert!(refused >= 10 && rollout.fresh.failed >= 10, "{refused}; {}", rollout.fresh);
    assert!(rollout.fresh.causes.values().sum::<u64>() == rollout.fresh.failed);
    let at_client = rollout.fresh.failed + rollout.keep_alive.failed;
    assert!(at_client >= refused, "{refused} refused; {} {}", rollout.fresh, rollout.keep_alive);
}

/// No drain can help when the data plane does not follow: in the end every address it knows is
/// gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_stands_still_loses_requests_of_pods_that_drain() {
    let old = process_image("1", AtTerm::Drain);
    let new = process_image("2", AtTerm::Drain);
    let rollout = Rollout::with_plane(old, new, Plane::StandsStill).await;
    assert!(rollout.proxy.total().refused > 0, "{:?}", rollout.proxy);
    assert!(rollout.fresh.failed > 0, "{}", rollout.fresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_in_this_process_are_rolled_without_a_failed_request() {
    let rollout = Rollout::run(service_image("1"), service_image("2")).await;
    rollout.assert_rolled_under_load();
    assert_eq!(rollout.keep_alive.failed, 0, "{}", rollout.keep_alive);
    assert_eq!(rollout.fresh.failed, 0, "{}", rollout.fresh);
}
