//! The two sides that scripts are played against.

use std::path::Path;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, Controller};

use crate::play;
use crate::script::Script;

/// Plays a script against zdd-sim, in virtual time.
///
/// # Errors
/// When the script is wrong, or something that it waits for does not come.
pub fn sim(script: &Script) -> anyhow::Result<Vec<Vec<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("failed to start a runtime")?;
    runtime.block_on(async {
        // The bench plays kubelet and scheduler itself, and brings its own nodes.
        let cluster =
            Cluster::builder().start(k8s_openapi::jiff::Timestamp::now()).nodes(0).build();
        cluster.pause(Controller::Kubelet);
        cluster.pause(Controller::Scheduler);
        // What was before the script is history, as on a cluster that has been up for long.
        cluster.with_store(zdd_sim::Store::compact);
        let client = cluster.client();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { cluster.run(CancellationToken::new()).await });
        play(script, client).await
    })
}

/// Plays a script against the cluster that a client reaches.
///
/// # Errors
/// When the script is wrong, or something that it waits for does not come.
pub async fn real(script: &Script, client: Client) -> anyhow::Result<Vec<Vec<String>>> {
    play(script, client).await
}

/// Makes a client that repeats nothing by itself.
///
/// # Errors
/// When the file cannot be used.
pub async fn connect(kubeconfig: &Path) -> anyhow::Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Client::try_from(config).context("failed to make a client")
}
