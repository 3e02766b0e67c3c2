//! Clients, and the whole backend on one of them.

use std::sync::Arc;

use kube::{Client, Config};
use zdd_core::Backend;

use crate::{KubeCluster, KubeJournal, KubeLease};

/// Makes a client that does not retry by itself.
///
/// kube's own retry layer repeats writes after 429, 503 and 504 without telling: a patch may then
/// be made twice, and a create that succeeded comes back as "already exists". With this client
/// every answer reaches zdd, which looks up what happened before it tries again.
///
/// # Errors
/// Those of kube, when the configuration cannot be used.
pub fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}

/// Puts a rollout's ports together on one client: cluster, journal and lease.
///
/// Use a client made by [`client`], or one without a layer that repeats writes. Take the parts
/// apart to set timeouts, the length of the lease, or to keep the journal elsewhere.
///
/// # Examples
/// ```
/// use zdd_core::{Change, Rollout, Target};
/// use zdd_strategies::Rolling;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let cluster = zdd_sim::Cluster::builder().build();
/// # let client = cluster.client();
/// // let client = zdd_kube::client(kube::Config::infer().await?)?;
/// let backend = zdd_kube::backend(client);
/// let target = Target::deployment("default", "web");
/// let rollout = Rollout::new(backend, target, Change::image("app", "web:2"), Rolling::default());
/// // This cluster is empty.
/// let refused = rollout.plan().await.unwrap_err();
/// assert_eq!(refused.to_string(), "failed to roll out Deployment default/web");
/// # }
/// ```
#[must_use]
pub fn backend(client: Client) -> Backend {
    Backend::new(
        Arc::new(KubeCluster::new(client.clone())),
        Arc::new(KubeJournal::new(client.clone())),
        Arc::new(KubeLease::new(client)),
    )
}
