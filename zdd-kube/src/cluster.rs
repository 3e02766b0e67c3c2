//! The cluster port.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use kube::Client;
use zdd_core::{Cluster, ClusterError, Mark, Prepared, Progress, Request, Snapshot, Step, Target};

use crate::requests::Requests;
use crate::{announce, apply, fence, observe, prepare, watch};

/// Reads and writes a cluster through its API server.
///
/// # Guarantees
/// - Every request ends: with an answer, or after the timeout. A write without an answer is
///   [`ClusterError::Unknown`], never assumed to have failed.
/// - Every write to the target carries the uid and the resourceVersion that it was decided on, and
///   is refused once a driver with a higher epoch has written to the target.
/// - Fields that zdd does not know survive.
///
/// # Permissions
/// Those of `manifests/role.yaml`; [`prepare`](Cluster::prepare) checks them before the first write
/// and names all that are missing at once.
#[derive(Clone, Debug)]
pub struct KubeCluster {
    requests: Requests,
}

impl KubeCluster {
    /// Talks to the cluster of a client; make it with [`client`](crate::client).
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { requests: Requests::new(client) }
    }

    /// Sets how long a request may take, 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.requests.set_timeout(timeout);
        self
    }
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn prepare(&self, request: &Request<'_>) -> Result<Prepared, ClusterError> {
        prepare::prepare(&self.requests, request).await
    }

    async fn observe(&self, target: &Target) -> Result<Snapshot, ClusterError> {
        Ok(observe::read(&self.requests, target).await?.snapshot(target))
    }

    fn watch(&self, target: &Target) -> BoxStream<'static, Result<Snapshot, ClusterError>> {
        watch::snapshots(&self.requests, target.clone())
    }

    async fn apply(
        &self,
        step: &Step,
        seen: &Snapshot,
        mark: &Mark<'_>,
    ) -> Result<(), ClusterError> {
        apply::apply(&self.requests, step, seen, mark).await
    }

    async fn fence(&self, mark: &Mark<'_>) -> Result<(), ClusterError> {
        fence::fence(&self.requests, mark).await
    }

    async fn announce(&self, mark: &Mark<'_>, progress: &Progress) {
        announce::announce(&self.requests, mark, progress).await;
    }
}
