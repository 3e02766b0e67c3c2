//! What a testbed consists of, and how each component is started.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::network;
use crate::probe::Probe;
use crate::state::Spec;

/// How much of a cluster runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Level {
    /// etcd, API server and controllers: objects as they really are, but no pod ever runs.
    #[default]
    ControlPlane,
    /// A node besides: pods run, and Services lead to them. Needs root.
    Node,
}

/// One process of the cluster.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Component {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers: Deployments, EndpointSlices and the others.
    KubeControllerManager,
    /// The container runtime.
    Containerd,
    /// Binds pods to the node.
    KubeScheduler,
    /// Runs the pods of the node.
    Kubelet,
    /// Makes the addresses of Services lead to pods.
    KubeProxy,
}

/// The name of the only node.
pub(crate) const NODE: &str = "n1";

/// The addresses of Services; the first one is the API server's.
const SERVICES: &str = "10.96.0.0/16";

/// How one component is started and how to tell that it is ready.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) ready: Probe,
}

/// The ports of the control plane on 127.0.0.1.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
    pub(crate) controller_manager: u16,
}

impl Level {
    /// Returns the components of the level, in the order in which they are started.
    #[must_use]
    pub fn components(self) -> &'static [Component] {
        use Component::{
            Containerd, Etcd, KubeApiserver, KubeControllerManager, KubeProxy, KubeScheduler,
            Kubelet,
        };
        match self {
            Self::ControlPlane => &[Etcd, KubeApiserver, KubeControllerManager],
            Self::Node => &[
                Etcd,
                Containerd,
                KubeApiserver,
                KubeControllerManager,
                KubeScheduler,
                Kubelet,
                KubeProxy,
            ],
        }
    }

    /// Returns the name of the level, as the command line takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Component {
    /// Returns the name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Containerd => "containerd",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// Returns how it is started.
    pub(crate) fn start(self, spec: &Spec, ports: Ports) -> Start {
        let (dir, bin) = (&*spec.dir, &*spec.bin);
        match self {
            Self::Etcd => etcd(dir, bin, ports),
            Self::KubeApiserver => apiserver(dir, bin, spec.level, ports),
            Self::KubeControllerManager => controller_manager(dir, bin, spec.level, ports),
            Self::Containerd => containerd(dir),
            Self::KubeScheduler => scheduler(dir, bin),
            Self::Kubelet => kubelet(dir, bin),
            Self::KubeProxy => proxy(dir, bin),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Component {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = Level::Node.components();
        all.iter().copied().find(|component| component.name() == name).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|component| component.name()).collect();
            anyhow::anyhow!("there is no component {name}; there are: {}", names.join(", "))
        })
    }
}

fn etcd(dir: &Path, bin: &Path, ports: Ports) -> Start {
    let Ports { etcd, etcd_peer, .. } = ports;
    let args = vec![
        format!("--data-dir={}/etcd", dir.display()),
        // What a testbed holds need not survive the machine.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{etcd}"),
        format!("--advertise-client-urls=http://127.0.0.1:{etcd}"),
        format!("--listen-peer-urls=http://127.0.0.1:{etcd_peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{etcd_peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{etcd_peer}"),
    ];
    Start { program: bin.join("etcd"), args, ready: Probe::http(etcd, "/health") }
}

fn apiserver(dir: &Path, bin: &Path, level: Level, ports: Ports) -> Start {
    let port = ports.apiserver;
    let pki = dir.join("pki");
    let pki = pki.display();
    let advertise = match level {
        // No pod asks for it, but without one the server looks for an interface of the machine.
        Level::ControlPlane => "192.0.2.1",
        Level::Node => network::NODE_ADDRESS,
    };
    let args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--advertise-address={advertise}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={pki}/kube-apiserver.crt"),
        format!("--tls-private-key-file={pki}/kube-apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--service-account-issuer=https://127.0.0.1:{port}"),
        format!("--service-account-key-file={pki}/service-accounts.pub"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
        format!("--kubelet-client-certificate={pki}/admin.crt"),
        format!("--kubelet-client-key={pki}/admin.key"),
        // The name of the node means nothing to the machine, and a question would leave the box.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--audit-policy-file={}/audit-policy.yaml", dir.display()),
        format!("--audit-log-path={}", audit_log(dir).display()),
        "--audit-log-mode=blocking".to_owned(),
    ];
    Start { program: bin.join("kube-apiserver"), args, ready: Probe::https(port, "/readyz") }
}

/// Returns the path of the audit log.
pub(crate) fn audit_log(dir: &Path) -> PathBuf {
    dir.join("logs/audit.log")
}

/// Flags that the controller manager and the scheduler share.
fn serving(dir: &Path, port: u16) -> Vec<String> {
    let pki = dir.join("pki");
    vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}/kube-apiserver.crt", pki.display()),
        format!("--tls-private-key-file={}/kube-apiserver.key", pki.display()),
    ]
}

fn controller_manager(dir: &Path, bin: &Path, level: Level, ports: Ports) -> Start {
    let pki = dir.join("pki");
    let pki = pki.display();
    let config = format!("{}/kubeconfigs/system:kube-controller-manager", dir.display());
    let mut args = serving(dir, ports.controller_manager);
    args.extend([
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        "--leader-elect=false".to_owned(),
        // With the default of 20 it takes seconds until the first pod can be made.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        format!("--service-cluster-ip-range={SERVICES}"),
    ]);
    if level == Level::ControlPlane {
        // The nodes of a test that plays the kubelet send no heartbeats.
        args.push("--controllers=*,-node-lifecycle-controller".to_owned());
    }
    let ready = Probe::https(ports.controller_manager, "/healthz");
    Start { program: bin.join("kube-controller-manager"), args, ready }
}

fn containerd(dir: &Path) -> Start {
    let args = vec!["--config".to_owned(), format!("{}/containerd.toml", dir.display())];
    Start { program: "containerd".into(), args, ready: Probe::socket(dir.join("containerd.sock")) }
}

fn scheduler(dir: &Path, bin: &Path) -> Start {
    let mut args = serving(dir, 10259);
    args.push(format!("--config={}/scheduler.yaml", dir.display()));
    let program = bin.join("kube-scheduler");
    Start { program, args, ready: Probe::https(10259, "/healthz") }
}

fn kubelet(dir: &Path, bin: &Path) -> Start {
    let dir = dir.display();
    let args = vec![
        format!("--config={dir}/kubelet.yaml"),
        format!("--kubeconfig={dir}/kubeconfigs/kubelet"),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={}", network::NODE_ADDRESS),
        format!("--root-dir={dir}/kubelet"),
    ];
    Start { program: bin.join("kubelet"), args, ready: Probe::http(10248, "/healthz") }
}

fn proxy(dir: &Path, bin: &Path) -> Start {
    let args = vec![format!("--config={}/kube-proxy.yaml", dir.display())];
    Start { program: bin.join("kube-proxy"), args, ready: Probe::http(10256, "/healthz") }
}
