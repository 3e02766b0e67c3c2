//! TLS in the serve loop.

use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tower_service::Service;

use crate::{
    Server,
    conn::{
        driver::{BoxError, End, Protocols, drive, finish, grace_over},
        io::{DrainIo, Link},
        policy::Protocol,
        service::RequestBody,
    },
};

impl Server {
    /// Serves TLS with the given settings.
    ///
    /// A handshake that is under way when the process begins to drain is
    /// finished and its request served. Offer `h2` and `http/1.1` in
    /// `alpn_protocols` for HTTP/2 over TLS.
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(TlsAcceptor::from(config));
        self
    }
}

/// Shakes hands, then runs the connection as any other.
pub(crate) async fn drive_tls<S, B>(
    acceptor: TlsAcceptor,
    link: Arc<Link>,
    io: DrainIo,
    service: S,
    protocols: Arc<Protocols>,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let handshake = timeout(protocols.patience, acceptor.accept(io));
    let shaken = tokio::select! {
        biased;
        shaken = handshake => shaken,
        () = grace_over(&link, 0) => return finish(link, End::Idle).await,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let protocol = negotiated(&stream);
            drive(link, stream, protocol, service, protocols).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(connection = %link.conn, %error, "failed to shake hands");
            finish(link, End::Idle).await;
        }
        Err(_) => finish(link, End::Cut).await,
    }
}

/// Only HTTP/2 is taken for known: an HTTP/1 client has not spoken yet, and
/// waiting for its first bytes is what gives it its grace.
fn negotiated(stream: &TlsStream<DrainIo>) -> Option<Protocol> {
    let (_, session) = stream.get_ref();
    (session.alpn_protocol() == Some(b"h2")).then_some(Protocol::Http2)
}
