//! The embedded cluster of the examples: real children as pods, a real data plane in front.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{ApiServer, Cluster, Images, ProcessImage, Proxy, ServicePort};

/// A cluster in this process; everything ends with the value.
#[derive(Debug)]
pub struct Embedded {
    cluster: Cluster,
    proxy: Proxy,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Embedded {
    /// Starts a cluster whose registry has the given images.
    #[must_use]
    pub fn start(images: Images) -> Self {
        let cluster = Cluster::builder().images(images).build();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (driven, stopped) = (cluster.clone(), stop.clone());
        tasks.spawn(async move { driven.run(stopped).await });
        let proxy = Proxy::new(cluster.routes());
        Self { cluster, proxy, stop, tasks }
    }

    /// Returns the API server.
    #[must_use]
    pub fn api(&self) -> ApiServer {
        self.cluster.api()
    }

    /// Opens a Service to this process, and returns its address.
    ///
    /// # Errors
    /// When there is no free port on loopback.
    pub fn expose(&self, namespace: &str, service: &str, port: &str) -> anyhow::Result<SocketAddr> {
        let service = ServicePort::new(namespace, service, port);
        Ok(self.proxy.listen(service, SocketAddr::from(([127, 0, 0, 1], 0)))?)
    }

    /// Ends all pods and waits until they are gone.
    pub async fn close(self) {
        let Self { cluster, proxy, stop, mut tasks } = self;
        proxy.close().await;
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        drop(cluster);
    }
}

/// Returns an image that runs this very program as the service of [`web`](crate::web).
///
/// # Errors
/// When the system does not tell where this program is.
pub fn web_image(version: &str, fail: &str) -> anyhow::Result<ProcessImage> {
    let program: PathBuf = std::env::current_exe().context("failed to find this program")?;
    Ok(ProcessImage::new(program)
        .args(["serve"])
        .env("VERSION", version)
        .env("FAIL", fail)
        // The embedded data plane follows within a fifth of a second.
        .env("ZDD_SHUTDOWN_LAME_DUCK_MIN", "1"))
}
