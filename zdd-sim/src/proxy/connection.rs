//! The life of one client connection: choose a backend, connect, relay, count.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::counts::{BackendCounters, ServiceCounters};
use super::relay::{Side, relay};
use super::service_port::ServicePort;
use crate::dataplane::routes::{Endpoint, Routes};

/// How long a pod may take to answer a handshake. Loopback answers at once unless the pod's
/// accept queue is full; then the kernel repeats the SYN after 1, 3 and 7 seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What all connections of one listener share.
pub(super) struct Frontend {
    pub(super) service: ServicePort,
    pub(super) routes: watch::Receiver<Arc<Routes>>,
    pub(super) counters: Arc<ServiceCounters>,
    pub(super) end: CancellationToken,
}

impl Frontend {
    /// Serves one connection to its end, or resets it when the proxy ends.
    pub(super) async fn serve(&self, mut client: TcpStream) {
        self.counters.connections.add(1);
        if self.end.run_until_cancelled(self.forward(&mut client)).await != Some(End::Closed) {
            end_with_reset(&client);
        }
    }

    async fn forward(&self, client: &mut TcpStream) -> End {
        let Some(backend) = self.choose() else {
            self.counters.no_endpoint.add(1);
            return End::Reset;
        };
        let counters = self.counters.backend(&backend.pod);
        let server = match connect(&backend).await {
            Ok(server) => server,
            Err(error) => {
                tracing::debug!(service = %self.service, pod = %backend.pod, %error, "no connection");
                count_failure(&error, &counters);
                return End::Reset;
            }
        };
        counters.established.add(1);
        carry(client, server, &counters).await
    }

    fn choose(&self) -> Option<Backend> {
        let routes = self.routes.borrow();
        let backends = routes.backends(&self.service.namespace, &self.service.service)?;
        let with_port = || {
            let port = |endpoint: &'_ Endpoint| endpoint.port(&self.service.port);
            backends.usable.iter().filter_map(move |endpoint| Some((endpoint, port(endpoint)?)))
        };
        let count = with_port().count();
        let (endpoint, port) = with_port().nth(fastrand::usize(..count.max(1)))?;
        let address = SocketAddr::new(endpoint.ip, port);
        Some(Backend { address, pod: Arc::clone(&endpoint.pod) })
    }
}

struct Backend {
    address: SocketAddr,
    pod: Arc<str>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Closed,
    Reset,
}

async fn connect(backend: &Backend) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(backend.address);
    match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
        Ok(connected) => connected,
        Err(elapsed) => Err(elapsed.into()),
    }
}

fn count_failure(error: &io::Error, counters: &BackendCounters) {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        counters.refused.add(1);
    } else if error.kind() == io::ErrorKind::ConnectionReset {
        // The pod accepted and reset before the proxy learned of the former.
        counters.established.add(1);
        counters.reset_by_backend.add(1);
    } else {
        counters.unreachable.add(1);
    }
}

async fn carry(client: &mut TcpStream, mut server: TcpStream, counters: &BackendCounters) -> End {
    // Delayed segments would add up to 40 ms of latency that no node adds. The option fails only
    // on a socket that is already reset, which the relay finds out by itself.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    match relay(client, &mut server, counters).await {
        Ok(()) => {
            counters.closed.add(1);
            return End::Closed;
        }
        Err(Side::Backend) => counters.reset_by_backend.add(1),
        Err(Side::Client) => counters.reset_by_client.add(1),
    }
    end_with_reset(&server);
    End::Reset
}

/// Makes the close of a connection, which must follow, reach the peer as RST and not as FIN.
fn end_with_reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "failed to set linger; the peer sees a close, not a reset");
    }
}
