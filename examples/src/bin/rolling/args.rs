//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Rolls a Deployment from version 1 to version 2 under load, and counts the requests that fail.
///
/// Without --kubeconfig it starts an embedded cluster whose pods are real processes on this
/// machine. With it, the same rollout runs on that cluster; the images must be there.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Roll to a version that fails in this way, to see the automatic rollback.
    #[arg(long, value_enum)]
    pub(crate) fail: Option<Fail>,
    /// Print one JSON object as the last line, and no progress.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Number of pods.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) replicas: u32,
    /// How many pods may exist beyond that: a number or a percentage.
    #[arg(long, default_value = "2")]
    pub(crate) max_surge: zdd_core::Amount,
    /// Seconds that a new pod must be ready before an old one goes.
    #[arg(long, default_value_t = 1)]
    pub(crate) min_ready_seconds: u32,
    /// Watch this many pods first: a number or a percentage.
    #[arg(long)]
    pub(crate) stage: Option<zdd_core::Amount>,
    /// Seconds that the first pods are watched.
    #[arg(long, default_value_t = 5, requires = "stage")]
    pub(crate) bake: u64,
    /// Seconds that everything must stay well at the end.
    #[arg(long, default_value_t = 2)]
    pub(crate) soak: u64,
    /// Seconds without progress after which it turns back.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) deadline: u64,
    /// Requests per second, half over kept connections and half over new ones.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub(crate) rate: u32,
    /// Use this cluster instead of the embedded one.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Use the cluster of the usual environment (KUBECONFIG, in-cluster) instead of the embedded one.
    #[arg(long, conflicts_with = "kubeconfig")]
    pub(crate) cluster: bool,
    /// Roll the Deployment that is on the cluster already, and create nothing: after a run that was
    /// interrupted, say.
    #[arg(long)]
    pub(crate) existing: bool,
    /// The namespace.
    #[arg(long, default_value = "default")]
    pub(crate) namespace: String,
    /// The image of version 1.
    #[arg(long, default_value = "zdd-example-web:1")]
    pub(crate) image: String,
    /// The image to roll to; with --fail, the bad one.
    #[arg(long)]
    pub(crate) next_image: Option<String>,
    /// Where the Service of a real cluster is reached from here; no load without it. An address
    /// outside of loopback must belong to a network that was made for this test.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) service_address: Option<SocketAddr>,
}

/// The ways in which the new version can be bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Fail {
    /// The process ends at the start.
    Crash,
    /// The readiness probe never passes.
    NeverReady,
    /// The image does not exist.
    NoImage,
}

impl Args {
    pub(crate) fn next_image(&self) -> String {
        let given = self.next_image.clone();
        given.unwrap_or_else(|| match self.fail {
            None => "zdd-example-web:2".to_owned(),
            Some(Fail::Crash) => "zdd-example-web:crash".to_owned(),
            Some(Fail::NeverReady) => "zdd-example-web:never-ready".to_owned(),
            Some(Fail::NoImage) => "zdd-example-web:missing".to_owned(),
        })
    }
}
