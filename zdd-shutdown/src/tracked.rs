//! A listener for servers that are not of this crate.
//!
//! It knows its connections to the end, upgraded ones included, and empties
//! the accept queue before it closes. It does not know what is spoken on them:
//! looking before an idle close, slow clients and the cap on the PING answer
//! need the [serve loop](crate::serve).

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
    time::sleep,
};

use crate::{
    conn::{Peer, stream::Stream},
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
        TrackedListener {
            place: Some(self.shared.listeners.enter()),
            listener: Some(listener.into()),
            queue: VecDeque::new(),
            drained: watch::Sender::new(false),
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Accepts until [`Phase::Closing`], then empties the queue and closes.
///
/// Implements axum's `Listener` with the feature `axum`.
#[derive(Debug)]
pub struct TrackedListener {
    listener: Option<Listener>,
    queue: VecDeque<(Stream, Peer)>,
    drained: watch::Sender<bool>,
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
        loop {
            if let Some((stream, peer)) = self.queue.pop_front() {
                return Some(self.track(stream, &peer));
            }
            let Some(listener) = &self.listener else {
                self.drained.send_replace(true);
                self.place = None;
                return None;
            };
            let accepted = tokio::select! {
                biased;
                () = self.shared.reached(Phase::Closing) => None,
                accepted = listener.accept() => Some(accepted),
            };
            match accepted {
                None => self.close(),
                Some(Ok((stream, peer))) => return Some(self.track(stream, &peer)),
                Some(Err(error)) if is_about_connection(&error) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(PAUSE).await;
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
        match listener.close(Backlog::Serve) {
            Ok(rescued) => {
                let count = rescued.len() as u64;
                self.shared.tally.rescued.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                self.queue.extend(rescued);
            }
            Err(error) => tracing::error!(%error, "failed to empty the accept queue"),
        }
    }

    fn track(&self, stream: Stream, peer: &Peer) -> (TrackedIo, Option<SocketAddr>) {
        let io = TrackedIo { stream, _place: self.shared.connections.enter() };
        (io, peer.address())
    }
}

/// A connection that counts until it is dropped.
pub struct TrackedIo {
    stream: Stream,
    _place: Place,
}

impl AsyncRead for TrackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

forward_write!(TrackedIo, stream);

impl fmt::Debug for TrackedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
