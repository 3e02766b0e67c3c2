//! The serve loop: accepts to the end, closes without resetting anybody, and
//! waits for what it accepted.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::{task::JoinSet, time::sleep};
use tower_service::Service;

use crate::{
    accepted::Accepted,
    conn::{
        Conn,
        driver::{BoxError, Protocols, drive},
        io::{DrainIo, Link},
        service::RequestBody,
        streams::StreamTasks,
    },
    handle::ShutdownHandle,
    listen::{Backlog, Listener, PAUSE, is_about_connection},
    phase::Phase,
    settings::ReadyWhen,
    shared::Shared,
};

/// How long a client may take to say what it wants while the process serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves HTTP/1 and HTTP/2 on a listener, with the defaults of [`Server`].
///
/// # Errors
///
/// As [`Server::serve`].
///
/// # Panics
///
/// As [`Server::serve`].
pub async fn serve<S, B>(
    listener: impl Into<Listener>,
    service: S,
    shutdown: &ShutdownHandle,
) -> io::Result<()>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    Server::new(shutdown).serve(listener, service).await
}

/// Serves any tower service, an axum `Router` for one, and ends without losing a request.
#[derive(Clone)]
#[must_use = "nothing is served before `serve`"]
pub struct Server {
    shared: Arc<Shared>,
    pub(crate) protocols: Arc<Protocols>,
    backlog: Backlog,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Server {
    /// Returns a server with hyper's defaults.
    pub fn new(shutdown: &ShutdownHandle) -> Self {
        let mut http1 = http1::Builder::new();
        // hyper's own limit would close connections that are idle, unannounced; the driver has one
        // that does not. The timer is for those who set hyper's all the same.
        http1.timer(TokioTimer::new()).header_read_timeout(None);
        let protocols =
            Protocols { http1, http2: Arc::new(|_| {}), patience: PATIENCE, connect_info: None };
        Self {
            shared: Arc::clone(&shutdown.shared),
            protocols: Arc::new(protocols),
            backlog: Backlog::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Changes the settings of HTTP/1.
    pub fn http1(mut self, change: impl FnOnce(&mut http1::Builder)) -> Self {
        change(&mut Arc::make_mut(&mut self.protocols).http1);
        self
    }

    /// Sets what is done to the settings of each HTTP/2 connection.
    pub fn http2<F>(mut self, change: F) -> Self
    where
        F: Fn(&mut http2::Builder<StreamTasks>) + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.protocols).http2 = Arc::new(change);
        self
    }

    /// Sets how long a client may take to send its first bytes, and each
    /// HTTP/1 request head that it has begun, while the process serves; 30 s
    /// unless set. Zero leaves time only for bytes that are there already.
    ///
    /// Between two requests a connection may be idle for as long as its client
    /// likes: if the server closed it, a request could be on its way.
    pub fn patience(mut self, patience: Duration) -> Self {
        Arc::make_mut(&mut self.protocols).patience = patience;
        self
    }

    /// Sets what happens to the accept queue when the server stops.
    pub fn backlog(mut self, backlog: Backlog) -> Self {
        self.backlog = backlog;
        self
    }

    /// Accepts and serves until [`Phase::Closing`], then closes the listener
    /// and waits for the connections.
    ///
    /// Marks the process ready, unless [`ReadyWhen::Marked`] was chosen. Each
    /// request counts as in flight; a [`layer`](ShutdownHandle::layer) around
    /// the service would count it again.
    ///
    /// # Guarantees
    ///
    /// - Connections that the kernel has completed when the listener closes are served.
    /// - An idle connection is closed only when no request waits in its socket.
    /// - A connection on which nothing was sent yet gets the first-request grace.
    /// - A request that was begun is finished, unless its client stalls or the
    ///   time of requests is over.
    /// - A request that comes when that time is over is not begun, and its client told so.
    /// - A response is not destroyed by a reset for unread input.
    /// - An upgraded connection is waited for until its socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listener and all connections at once.
    ///
    /// # Errors
    ///
    /// When the accept queue could not be emptied to its end, for want of file
    /// descriptors for one. What was accepted has been served all the same: the
    /// error comes last. Errors of single connections are logged.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn serve<S, B>(self, listener: impl Into<Listener>, service: S) -> io::Result<()>
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let listener = listener.into();
        // Given back when the listener is closed and its queue has become
        // connections; until then Closing does not end.
        let place = self.shared.listeners.enter();
        self.shared.tracks_connections.store(true, Relaxed);
        if self.shared.settings.ready_when == ReadyWhen::Listening {
            self.shared.mark_ready();
        }

        let mut connections = JoinSet::new();
        self.accept(&listener, &service, &mut connections).await;
        let (rescued, closed) = listener.close(self.backlog);
        self.shared.tally.rescued.fetch_add(rescued.len() as u64, Relaxed);
        for accepted in rescued {
            connections.spawn(self.serve_connection(accepted, service.clone()));
        }
        drop(place);
        while connections.join_next().await.is_some() {}
        closed
    }

    /// Accepts until Closing. The listener is never left open without this
    /// loop: a client would connect and hang.
    async fn accept<S, B>(&self, listener: &Listener, service: &S, connections: &mut JoinSet<()>)
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let mut closing = std::pin::pin!(self.shared.reached(Phase::Closing));
        loop {
            tokio::select! {
                biased;
                () = &mut closing => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => {
                        connections.spawn(self.serve_connection(accepted, service.clone()));
                        // Here too, since the branch below is not reached while more come.
                        while connections.try_join_next().is_some() {}
                    }
                    Err(error) if is_about_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a connection");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one connection that an accept loop of the program's own has
    /// accepted, as [`serve`](Self::serve) does each of its own: with the
    /// same guarantees, and counted from this call until its socket is closed.
    ///
    /// The socket is taken with the options that it has, `TCP_NODELAY` among them.
    /// [`listener`](ShutdownHandle::listener) gives a loop that empties its
    /// queue, and for which Closing waits; readiness is for the program to tell:
    ///
    #[cfg_attr(feature = "axum", doc = "```")]
    #[cfg_attr(not(feature = "axum"), doc = "```ignore")]
    /// use axum::{Router, routing::get};
    /// use tokio::{net::TcpListener, task::JoinSet};
    /// use zdd_shutdown::{Reason, Server, Shutdown};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shutdown = Shutdown::builder().embed()?; // in a service: `install`
    /// let app: Router = Router::new().route("/", get(|| async { "hello" }));
    /// let server = Server::new(&shutdown);
    /// let mut listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await?);
    /// let mut connections = JoinSet::new();
    /// shutdown.readiness().mark_ready();
    /// # shutdown.trigger(Reason::Completed);
    /// while let Some((io, _peer)) = listener.accept().await {
    ///     // The place for a limit by address, say.
    ///     connections.spawn(server.serve_connection(io, app.clone()));
    /// }
    /// connections.join_all().await;
    /// assert!(shutdown.finish().await.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection at once.
    ///
    /// # Panics
    ///
    /// The future does, outside a tokio runtime.
    pub fn serve_connection<C, S, B>(
        &self,
        connection: C,
        service: S,
    ) -> impl Future<Output = ()> + Send + 'static + use<C, S, B>
    where
        C: Into<Accepted>,
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let Accepted { stream, peer, foreign } = connection.into();
        if !self.shared.tracks_connections.load(Relaxed) {
            self.shared.tracks_connections.store(true, Relaxed);
        }
        let number = NUMBER.fetch_add(1, Relaxed);
        let conn = Arc::new(Conn::new(Arc::clone(&self.shared), number, peer));
        let link = Link::new(stream, conn);
        if let Some(place) = foreign {
            // It goes on as a connection of this server, and has not ended as one of another.
            place.give_up();
        }
        let io = DrainIo::new(Arc::clone(&link));
        let protocols = Arc::clone(&self.protocols);
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        async move {
            #[cfg(feature = "tls")]
            if let Some(acceptor) = tls {
                // On the heap, so that connections without TLS need not have room for it.
                let driven = crate::tls::drive_tls(acceptor, link, io, service, protocols);
                return Box::pin(driven).await;
            }
            drive(link, io, None, service, protocols).await;
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("backlog", &self.backlog).finish_non_exhaustive()
    }
}

/// Numbers connections of all listeners, for even jitter among them.
static NUMBER: AtomicU64 = AtomicU64::new(0);
