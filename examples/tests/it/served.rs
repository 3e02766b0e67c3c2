//! The rolling example on a cluster that it reaches over HTTP, by a kubeconfig.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, Collection, HttpServer, Images, Object, ProcessImage, Proxy, ServicePort};

use crate::rolling::{Watched, interrupted, result, rolling};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A cluster that is served, as by `zdd-sim`, with the example itself as the image of its pods.
struct Served {
    cluster: Cluster,
    service: String,
    directory: TempDir,
    _proxy: Proxy,
    // Last: everything above ends on it.
    _runtime: Runtime,
}

impl Served {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let within = runtime.enter();
        let image = || ProcessImage::new(env!("CARGO_BIN_EXE_rolling")).args(["serve"]);
        let images =
            Images::new().with("zdd-example-web:1", image()).with("zdd-example-web:2", image());
        let cluster = Cluster::builder().images(images).build();
        let driven = cluster.clone();
        drop(runtime.spawn(async move { driven.run(CancellationToken::new()).await }));
        let server = runtime.block_on(HttpServer::bind(cluster.api(), LOOPBACK)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        drop(runtime.spawn(server.serve(CancellationToken::new())));
        let proxy = Proxy::new(cluster.routes());
        let service = ServicePort::new("default", "web", "http");
        let service = proxy.listen(service, LOOPBACK).unwrap().to_string();
        drop(within);
        Self { cluster, service, directory, _proxy: proxy, _runtime: runtime }
    }

    fn kubeconfig(&self) -> String {
        path(&self.directory.path().join("kubeconfig"))
    }

    /// Adds what names the cluster, and the load on it.
    fn args<'a>(&'a self, kubeconfig: &'a str, args: &[&'a str]) -> Vec<&'a str> {
        [&["--kubeconfig", kubeconfig, "--service-address", &self.service], args].concat()
    }

    /// The names of all objects that a run makes for its users.
    fn objects(&self) -> Vec<String> {
        let of = [&Collection::DEPLOYMENTS, &Collection::SERVICES];
        let list = |collection| {
            self.cluster.with_store(|store| {
                let all = store.list(collection, Some("default"));
                all.map(|object| format!("{}/{}", collection, object.name())).collect::<Vec<_>>()
            })
        };
        of.into_iter().flat_map(list).collect()
    }

    fn deployment(&self) -> Option<std::sync::Arc<Value>> {
        self.cluster
            .with_store(|store| store.get(&Collection::DEPLOYMENTS, "default", "web").cloned())
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The complaint of a run that must fail.
#[track_caller]
fn complaint(args: &[&str]) -> String {
    let output = rolling(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_served_cluster_is_rolled_without_a_failed_request_and_then_left_alone() {
    let served = Served::start();
    let config = served.kubeconfig();
    let result = result(&served.args(&config, &["--replicas", "3", "--soak", "0"]));
    assert_eq!(result["outcome"], "promoted");
    assert_eq!(result["requests"]["failed"], 0, "{result}");
    assert!(result["requests"]["sent"].as_u64().unwrap() > 500, "{result}");

    let before = served.deployment().unwrap();
    let again = complaint(&served.args(&config, &[]));
    assert!(again.contains("already exists; --existing rolls the one that is there"), "{again}");
    let plan = served.args(&config, &["--existing", "--plan", "--next-image", "zdd-example-web:1"]);
    let plan = String::from_utf8(rolling(&plan).stdout).unwrap();
    assert!(plan.contains("1. set the pod template (maxSurge 2, "), "{plan}");
    assert_eq!(served.deployment().unwrap()["spec"], before["spec"]);
}

#[test]
fn existing_goes_on_with_what_an_interruption_left() {
    let served = Served::start();
    let config = served.kubeconfig();
    let args = served.args(&config, &["--replicas", "3", "--soak", "600"]);
    let (code, rest) = interrupted(&args, "set-template: done");
    assert_eq!(code, Some(130), "{rest:?}");
    let told = "the Deployment is left as it is; --existing goes on with it";
    assert!(rest.iter().any(|line| line == told), "{rest:?}");

    let output = rolling(&served.args(&config, &["--existing", "--soak", "0"]));
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, err) = (out.unwrap(), err.unwrap());
    assert!(output.status.success(), "{out}{err}");
    assert!(err.starts_with("went on with the rollout of Deployment default/web\n"), "{err}");
    assert!(out.ends_with("requests failed: 0\n"), "{out}");
}

#[test]
fn nothing_is_made_where_something_cannot_be_made() {
    let served = Served::start();
    let config = served.kubeconfig();
    for (args, hint) in [
        (&["--plan"][..], "Deployment default/web does not exist; a run without"),
        (&["--existing"], "Deployment default/web does not exist; a run without"),
        (&["--namespace", "shop"], "namespaces \"shop\" not found; create the namespace first"),
        (&["--namespace", "shop", "--existing"], "Deployment shop/web does not exist; a run"),
        // The Service alone could be made.
        (&["--image", ""], "failed to create the Deployment in namespace default: "),
    ] {
        let text = complaint(&served.args(&config, args));
        assert!(text.contains(hint), "{args:?}: {text}");
        assert_eq!(served.objects(), Vec::<String>::new(), "{args:?}");
    }
}

/// A kubeconfig for a server without credentials.
fn kubeconfig_of(server: SocketAddr) -> String {
    format!(
        "clusters: [{{name: a, cluster: {{server: \"http://{server}\"}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\ncurrent-context: a\n\
         users: [{{name: a, user: {{}}}}]\n"
    )
}

#[test]
fn who_interrupts_twice_waits_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = path(&directory.path().join("kubeconfig"));
    let silent = TcpListener::bind(LOOPBACK).unwrap();
    std::fs::write(&file, kubeconfig_of(silent.local_addr().unwrap())).unwrap();
    let mut run = Watched::start(&["--kubeconfig", &file]);
    let _asked = silent.accept().unwrap();
    run.interrupt();
    run.says("interrupted, and ends in order; once more");
    let start = Instant::now();
    run.interrupt();
    let (code, rest) = run.end();
    assert_eq!(code, Some(130), "{rest:?}");
    assert_eq!(rest[0], "interrupted again, and ended at once");
    // The server had 10 s to answer.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = path(&directory.path().join("kubeconfig"));
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let server = listener.local_addr().unwrap();
    std::fs::write(&file, kubeconfig_of(server)).unwrap();
    // It listens and says nothing.
    let start = Instant::now();
    let silent = complaint(&["--kubeconfig", &file]);
    let told = format!("error: the API server at {server} did not answer within 10s");
    assert!(silent.starts_with(&told), "{silent}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());

    drop(listener);
    let refused = complaint(&["--kubeconfig", &file, "--existing"]);
    let told = format!("error: failed to reach the API server at {server}; is it up");
    assert!(refused.starts_with(&told), "{refused}");
    assert!(refused.contains("refused") && refused.lines().count() == 1, "{refused}");

    std::fs::write(&file, "").unwrap();
    let empty = complaint(&["--kubeconfig", &file]);
    assert!(empty.contains("; look at its current-context: "), "{empty}");
}
