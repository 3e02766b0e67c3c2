//! The API over HTTP/1 and HTTP/2, for `kubectl` and for clients in other processes.
//!
//! Plain HTTP: on loopback there is no wire to listen at, and a certificate would have to be handed
//! to every client. What TLS clients would prove with a token is proved by the first part of the
//! path, which only readers of the kubeconfig know.

mod connection;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::ApiServer;
use connection::Frontend;

/// How long the accept loop rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a connection may take to finish an answer when the server ends; watches never finish.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Serves an [`ApiServer`] over HTTP.
///
/// # Examples
/// ```
/// use tokio_util::sync::CancellationToken;
/// use zdd_sim::{Cluster, HttpServer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let cluster = Cluster::builder().build();
/// let server = HttpServer::bind(cluster.api(), "127.0.0.1:0".parse().unwrap()).await?;
/// assert!(server.url().starts_with("http://127.0.0.1:"));
///
/// let stop = CancellationToken::new();
/// stop.cancel(); // Here, a test would run `kubectl` with `server.kubeconfig()` first.
/// server.serve(stop).await;
/// # Ok(())
/// # }
/// ```
pub struct HttpServer {
    api: ApiServer,
    listener: TcpListener,
    address: SocketAddr,
    secret: Option<String>,
}

impl HttpServer {
    /// Takes the address; nothing is answered before [`HttpServer::serve`].
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub async fn bind(api: ApiServer, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { api, listener, address, secret: None })
    }

    /// Answers only requests whose path begins with this part, except for those about its health.
    ///
    /// Without it, every process on the machine can use the API, and so can web pages in a browser
    /// that runs there: whoever can create a pod of a process image can run any program.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Returns the address in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the API, with the secret.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.secret {
            Some(secret) => format!("http://{}/{secret}", self.address),
            None => format!("http://{}", self.address),
        }
    }

    /// Returns a kubeconfig with this server as its only cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let url = self.url();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: zdd-sim\nclusters:\n- name: zdd-sim\n  \
             cluster:\n    server: {url}\ncontexts:\n- name: zdd-sim\n  context:\n    cluster: \
             zdd-sim\n    namespace: default\n    user: zdd-sim\nusers:\n- name: zdd-sim\n  user: {{}}\n"
        )
    }

    /// Serves until `stop` is cancelled; then ends watches and finishes answers.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and all connections.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { api, listener, secret, .. } = self;
        let frontend = Frontend::new(api, secret);
        // Connections end with the future that serves them, also when that one is dropped.
        let end = stop.child_token();
        let _ended = end.clone().drop_guard();
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (frontend, end) = (frontend.clone(), end.clone());
                    connections.spawn(async move { frontend.serve(stream, end).await });
                }
                Err(error) => {
                    tracing::debug!(%error, "failed to accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("address", &self.address).finish_non_exhaustive()
    }
}
