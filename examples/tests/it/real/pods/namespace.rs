//! A namespace of its own on the node, by `kubectl`, and load on its Service.

use std::{
    ffi::OsString,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zdd_load::{Endpoints, Load, Mode};
use zdd_testbed::Testbed;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);

/// Deleted when dropped, with everything in it.
pub(super) struct Namespace {
    name: &'static str,
    kubeconfig: OsString,
    /// Where the node has the Service.
    port: u16,
}

impl Namespace {
    /// Makes one with a Service that leads to all pods with the label `app: web`.
    ///
    /// # Panics
    /// Where there is no node.
    pub(super) fn new(name: &'static str, port: u16, policy: &str) -> Self {
        let level = std::env::var("ZDD_TESTBED_LEVEL").unwrap_or_default();
        assert_eq!(level, "node", "needs a node: cargo xtask test --stage node");
        let kubeconfig = std::env::var_os("ZDD_TESTBED_KUBECONFIG").unwrap();
        let this = Self { name, kubeconfig, port };
        this.kubectl(&["create", "namespace", name]);
        this.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
            "spec": {
                "type": "NodePort",
                "externalTrafficPolicy": policy,
                "selector": { "app": "web" },
                "ports": [{ "port": 80, "targetPort": 8080, "nodePort": port }],
            },
        }));
        this
    }

    /// Returns the testbed whose node it is, to break something of it.
    pub(super) fn testbed(&self) -> Testbed {
        // The state folder, by the place of the kubeconfig in it.
        let dir = Path::new(&self.kubeconfig).ancestors().nth(2).unwrap();
        Testbed::find(dir).unwrap()
    }

    /// Runs `kubectl` and returns what it prints.
    #[track_caller]
    pub(super) fn kubectl(&self, args: &[&str]) -> String {
        self.fed(args, b"")
    }

    #[track_caller]
    pub(super) fn apply(&self, object: &Value) {
        self.fed(&["apply", "-f", "-"], object.to_string().as_bytes());
    }

    pub(super) fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", what, "-o", "json"])).unwrap()
    }

    /// Begins to read the log of a pod, up to the end of the pod.
    pub(super) fn follow(&self, pod: &str) -> Child {
        let mut command = self.command(&["logs", "--follow", pod]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(["--namespace", self.name]).args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    #[track_caller]
    fn fed(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {}: {stderr}", args.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Keeps a pod when it has ended, so that it can be looked at.
    pub(super) fn keep(&self, pod: &str) {
        self.kubectl(&[
            "patch",
            pod,
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":["zdd.dev/look"]}}"#,
        ]);
    }

    /// Lets go of a pod that was kept.
    pub(super) fn let_go(&self, pod: &str) {
        self.kubectl(&["patch", pod, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    }

    /// Waits for a fact about an object.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let object = self.get(what);
            if holds(&object) {
                return object;
            }
            assert!(begun.elapsed() < LIMIT, "{what} does not get there: {}", object["status"]);
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Describes load through the node's port, from as many addresses as it has connections.
    pub(super) fn load(&self, rate: u32, mode: Mode) -> Load {
        let node = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let load = Load::new(Endpoints::loopback([node]).unwrap()).rate(rate).mode(mode);
        load.connections(20).max_duration(Duration::from_secs(600)).spread_sources()
    }

    /// Describes gRPC calls in the same way.
    pub(super) fn grpc(&self, rate: u32) -> Load {
        self.load(rate, Mode::Http2 { streams: 10 })
            .path("/grpc.health.v1.Health/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // A message without fields: its mark and its length.
            .post([0; 5])
    }

    /// Waits until the data plane knows the Service: what fails before is no loss of a shutdown.
    pub(super) async fn reachable(&self) {
        let begun = Instant::now();
        loop {
            let probe = self.load(100, Mode::Fresh).total(30).start().unwrap().finish().await;
            if probe.failed == 0 {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "the pods cannot be reached: {probe}");
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The node goes away after the tests in any case.
        let _ = Command::new("kubectl")
            .args(["delete", "namespace", self.name, "--wait=false"])
            .env("KUBECONFIG", &self.kubeconfig)
            .output();
    }
}

/// The container of the service, with probes that notice within a second.
pub(super) fn container(env: &[(&str, &str)]) -> Value {
    let probe = |path: &str, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": 8080 },
            "periodSeconds": 1, "failureThreshold": failures,
        })
    };
    let env: Vec<_> =
        env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "name": "web",
        "image": "web:1",
        "imagePullPolicy": "IfNotPresent",
        "env": env,
        "readinessProbe": probe("/readyz", 1),
        "livenessProbe": probe("/livez", 3),
    })
}

/// What became of the first of a pod's containers in a list of its status, once it has ended.
pub(super) fn end(pod: &Value, list: &str) -> Value {
    pod["status"][list][0]["state"]["terminated"].clone()
}

/// A Deployment of pods behind the Service.
pub(super) fn deployment(name: &str, replicas: u32, container: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "deployment": name } },
            "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": {
                "metadata": { "labels": { "app": "web", "deployment": name } },
                "spec": { "terminationGracePeriodSeconds": 30, "containers": [container] },
            },
        },
    })
}
