//! A data plane on real sockets, for pods that are real.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod connection;
mod counts;
mod relay;
mod service_port;

use connection::Frontend;
pub use counts::{BackendCounts, ProxyCounts, ServiceCounts};
pub use service_port::ServicePort;

use crate::dataplane::routes::Routes;

/// Room for bursts of fresh connections; the kernel caps it at `somaxconn`.
const BACKLOG: u32 = 4096;

/// How long the accept loop rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Why a Service could not be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The address of the Service could not be taken.
    #[error("failed to listen on {address} for {service}; choose another cluster address or port")]
    Listen {
        /// The Service port.
        service: ServicePort,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Forwards the connections of Services to their pods: one listener per Service port, which does
/// per TCP connection what kube-proxy does per connection-tracking entry.
///
/// - Each new connection takes a random endpoint from the routes of that moment; a connection
///   that exists stays on its backend until one side ends it, whatever the table says later.
/// - A backend that refuses is a refusal for the client. The proxy never tries another one:
///   a data plane that retries would hide the loss that it is here to count.
/// - A half-close is passed on as a half-close, and a reset as a reset.
///
/// The routes come from [`Cluster::routes`](crate::Cluster::routes): they lag behind the
/// EndpointSlices as the cluster's data plane does, and stand still when it is frozen.
///
/// # Cost
/// `cargo bench -p zdd-sim --bench proxy`, on two cores of a virtual machine that other work also
/// used: per request 20 to 24 us of processor time over keep-alive connections at 3,000 requests
/// per second (10 to 13 us when saturated), and 62 to 80 us with a fresh connection for each. So
/// half a core carries some 20,000 requests per second of the former or 6,000 of the latter. At
/// 3,000 per second the median rose by 0.07 ms over keep-alive connections and by 0.18 ms over
/// fresh ones.
///
/// # Limits
/// One difference to kube-proxy cannot be helped in user space: the client's handshake completes
/// before the backend is asked. Where a node would answer the SYN with a refusal, the client here
/// sees an accepted connection that is reset at once.
///
/// # Cancel safety
/// Dropping it closes all listeners and resets all connections of clients.
///
/// # Examples
/// ```
/// use zdd_sim::{Cluster, Images, Proxy, ServiceImage, ServicePort};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let image = ServiceImage::new(|listener: tokio::net::TcpListener, pod| async move {
///     // A real service would serve here, until `pod.shutdown` is cancelled and it has drained.
///     pod.shutdown.cancelled().await;
///     drop(listener);
///     Ok(())
/// });
/// let cluster = Cluster::builder().images(Images::new().with("web:1", image)).build();
/// let proxy = Proxy::new(cluster.routes());
/// let web = ServicePort::new("default", "web", "http");
/// let address = proxy.listen(web.clone(), "127.0.0.1:0".parse()?)?;
///
/// // Without pods, a connection to `address` is reset and counted.
/// let client = tokio::net::TcpStream::connect(address).await?;
/// assert!(client.readable().await.is_ok() && client.try_read(&mut [0]).is_err());
/// assert_eq!(proxy.counts().of(&web).no_endpoint, 1);
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    routes: watch::Receiver<Arc<Routes>>,
    counters: counts::Counters,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Proxy {
    /// Creates a proxy that follows `routes`.
    #[must_use]
    pub fn new(routes: watch::Receiver<Arc<Routes>>) -> Self {
        Self {
            routes,
            counters: counts::Counters::default(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Serves a Service port at `address` and returns the address in use, which differs from the
    /// asked one when that had port 0.
    ///
    /// Must be called within a tokio runtime, on which all connections then run.
    ///
    /// # Errors
    /// [`ProxyError::Listen`].
    pub fn listen(
        &self,
        service: ServicePort,
        address: SocketAddr,
    ) -> Result<SocketAddr, ProxyError> {
        let (listener, bound) = match bind(address) {
            Ok(listener) => listener,
            Err(source) => return Err(ProxyError::Listen { service, address, source }),
        };
        let frontend = Arc::new(Frontend {
            counters: self.counters.of(&service),
            routes: self.routes.clone(),
            service,
            end: self.end.clone(),
        });
        self.tasks.spawn(accept(listener, frontend, self.tasks.clone()));
        Ok(bound)
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn counts(&self) -> ProxyCounts {
        self.counters.snapshot()
    }

    /// Closes all listeners, resets all connections and waits until they are gone.
    pub async fn close(self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

async fn accept(listener: TcpListener, frontend: Arc<Frontend>, tasks: TaskTracker) {
    let end = frontend.end.clone();
    end.run_until_cancelled(async {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let frontend = Arc::clone(&frontend);
                    tasks.spawn(async move { frontend.serve(client).await });
                }
                // The client was gone before it was accepted; nothing was lost by the proxy.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(service = %frontend.service, %error, "failed to accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
    .await;
}
