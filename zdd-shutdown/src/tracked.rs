//! A listener for servers that are not of this crate.
//!
//! It knows its connections to the end, upgraded ones included, and empties
//! the accept queue before it closes. It does not know what is done on them:
//! looking before an idle close, slow clients and the cap on the PING answer
//! need the [serve loop](crate::serve). The one thing that it changes is when
//! the server reads that answer, as in the serve loop.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use futures_core::Stream as AsyncStream;
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
    time::{Sleep, sleep},
};

use crate::{
    accepted::Accepted,
    conn::{Peer, pong::HeldPong, stream::Stream},
    counter::Place,
    forward::forward_write,
    handle::ShutdownHandle,
    listen::{Backlog, Listener, PAUSE, is_about_connection},
    phase::Phase,
    shared::Shared,
};

impl ShutdownHandle {
    /// Wraps a listener for a foreign server.
    ///
    /// Give the server [`TrackedListener::drained`] as its shutdown signal:
    /// ended any earlier, it would drop what the listener still hands out.
    pub fn listener(&self, listener: impl Into<Listener>) -> TrackedListener {
        let shared = Arc::clone(&self.shared);
        TrackedListener {
            place: Some(self.shared.listeners.enter()),
            listener: Some(listener.into()),
            queue: VecDeque::new(),
            drained: watch::Sender::new(false),
            closing: Box::pin(async move { shared.reached(Phase::Closing).await }),
            pause: None,
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Accepts until [`Phase::Closing`], then empties the queue and closes.
///
/// Over HTTP/2 without TLS, no stream is refused that a client had queued when the server
/// told it to leave. Where the server itself speaks TLS the listener cannot see to that:
/// give tonic's routes to [`Server::serve`](crate::Server::serve) with its own TLS instead.
///
/// Connections that are still open when the time of requests is over count as
/// [aborted](crate::ConnectionReport::aborted), since nothing tells idle ones apart.
///
/// Implements axum's `Listener` with the feature `axum`. As a `Stream` it is
/// what `serve_with_incoming_shutdown` of tonic takes, with the feature `tonic`:
///
#[cfg_attr(feature = "tonic", doc = "```")]
#[cfg_attr(not(feature = "tonic"), doc = "```ignore")]
/// use tonic::{service::Routes, transport::Server};
/// use zdd_shutdown::{Reason, Shutdown};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shutdown = Shutdown::builder().embed()?; // in a service: `install`
/// let (_, health) = shutdown.grpc_health();
/// let listener = shutdown.listener(tokio::net::TcpListener::bind("127.0.0.1:0").await?);
/// let drained = listener.drained();
/// shutdown.readiness().mark_ready();
/// # shutdown.trigger(Reason::Completed);
/// Server::builder()
///     .layer(shutdown.layer())
///     .add_service(health)
///     .serve_with_incoming_shutdown(listener, drained)
///     .await?;
/// assert!(shutdown.finish().await.is_clean());
/// # Ok(())
/// # }
/// ```
pub struct TrackedListener {
    listener: Option<Listener>,
    queue: VecDeque<Accepted>,
    drained: watch::Sender<bool>,
    /// Polled as long as there is a listener.
    closing: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    /// Until when accepting pauses.
    pause: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
    place: Option<Place>,
}

impl TrackedListener {
    /// Accepts a connection; `None` once the listener is closed and its queue
    /// handed out. Unix sockets have no address.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn accept(&mut self) -> Option<(TrackedIo, Option<SocketAddr>)> {
        let io = poll_fn(|cx| self.poll_accept(cx)).await?;
        let address = io.peer.address();
        Some((io, address))
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<TrackedIo>> {
        loop {
            if let Some(accepted) = self.queue.pop_front() {
                return Poll::Ready(Some(self.track(accepted)));
            }
            let Some(listener) = &self.listener else {
                self.drained.send_replace(true);
                self.place = None;
                return Poll::Ready(None);
            };
            if self.closing.as_mut().poll(cx).is_ready() {
                self.close();
                continue;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(listener.poll_accept(cx)) {
                Ok(accepted) => return Poll::Ready(Some(self.track(accepted))),
                Err(error) if is_about_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }

    /// Ends when the listener is closed and everything in its queue was handed out.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut drained = self.drained.subscribe();
        async move {
            // An error means that the listener is gone, which is as good.
            let _ = drained.wait_for(|drained| *drained).await;
        }
    }

    /// Returns the address it listens on; none for Unix sockets.
    ///
    /// # Errors
    ///
    /// When the listener is closed.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    fn close(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        let (rescued, closed) = listener.close(Backlog::Serve);
        if let Err(error) = closed {
            tracing::error!(%error, "failed to empty the accept queue");
        }
        self.shared.tally.rescued.fetch_add(rescued.len() as u64, Relaxed);
        self.queue.extend(rescued);
    }

    fn track(&self, accepted: Accepted) -> TrackedIo {
        let Accepted { stream, peer, .. } = accepted;
        let io = HeldPong::new(stream, self.shared.settings.limits.pong_cap);
        TrackedIo { io, peer, place: self.shared.foreign.enter() }
    }
}

/// Never an error: those of accepting are logged, and pause it where they must.
impl AsyncStream for TrackedListener {
    type Item = io::Result<TrackedIo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_accept(cx).map(|accepted| accepted.map(Ok))
    }
}

impl fmt::Debug for TrackedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedListener")
            .field("listener", &self.listener)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// A connection that counts until it is dropped.
pub struct TrackedIo {
    pub(crate) io: HeldPong<Stream>,
    pub(crate) peer: Peer,
    pub(crate) place: Place,
}

impl AsyncRead for TrackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

forward_write!(TrackedIo, io);

impl fmt::Debug for TrackedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.get_ref().fmt(f)
    }
}
