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
/// Use a client made by [`client`], or one without a layer that repeats writes.
#[must_use]
pub fn backend(client: Client) -> Backend {
    Backend::new(
        Arc::new(KubeCluster::new(client.clone())),
        Arc::new(KubeJournal::new(client.clone())),
        Arc::new(KubeLease::new(client)),
    )
}
