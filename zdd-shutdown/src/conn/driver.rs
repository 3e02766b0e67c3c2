//! Drives one connection from its first byte to its last.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, sleep_until, timeout},
};
use tower_service::Service;

use crate::{
    conn::{
        Conn,
        first::{Rewound, sniff},
        io::Link,
        linger::linger,
        policy::{Action, Cut, Facts, Protocol, Watch},
        pong::HeldPong,
        rarely::Rarely,
        service::{ConnService, RequestBody},
        streams::StreamTasks,
    },
    phase::Phase,
};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How often a draining connection is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Sets up hyper for one HTTP/2 connection.
pub(crate) type Http2Setup = Arc<dyn Fn(&mut http2::Builder<StreamTasks>) + Send + Sync>;

/// How hyper is set up.
#[derive(Clone)]
pub(crate) struct Protocols {
    pub(crate) http1: http1::Builder,
    pub(crate) http2: Http2Setup,
    /// How long a client may take for a first byte, a handshake or a request head while the
    /// process serves.
    pub(crate) patience: Duration,
    /// Tells handlers who the peer is.
    pub(crate) connect_info: Option<fn(&mut http::Extensions, SocketAddr)>,
}

/// What is left to do after HTTP is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A response may still be on its way to the client.
    Done,
    /// The last response, if there was one, arrived long ago.
    Idle,
    /// Ended in the middle.
    Cut,
    /// The time of requests is over.
    Aborted,
}

/// Runs a connection until its socket is closed or, after an upgrade, in other hands.
pub(crate) async fn drive<I, S, B>(
    link: Arc<Link>,
    io: I,
    known: Option<Protocol>,
    service: S,
    protocols: Arc<Protocols>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<http::Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let conn = Arc::clone(&link.conn);
    let Some((protocol, io)) = first_bytes(&link, io, known, &protocols).await else {
        return finish(link, End::Idle).await;
    };
    let service = ConnService::new(service, Arc::clone(&conn), protocols.connect_info);
    let end = match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(io);
            let connection = protocols.http1.serve_connection(io, service).with_upgrades();
            let slow = slow_head(&conn, protocols.patience);
            run(&link, connection, |connection| connection.graceful_shutdown(), slow, protocol)
                .await
        }
        Protocol::Http2 => {
            let streams = StreamTasks::new(Arc::clone(&conn));
            let _owner = streams.owner();
            let mut builder = http2::Builder::new(streams);
            builder.timer(TokioTimer::new());
            (protocols.http2)(&mut builder);
            let io = HeldPong::new(io, conn.shared.settings.limits.pong_cap);
            let connection = builder.serve_connection(TokioIo::new(io), service);
            let never = std::future::pending();
            let shut_down =
                |connection: Pin<&mut _>| http2::Connection::graceful_shutdown(connection);
            run(&link, connection, shut_down, never, protocol).await
        }
    };
    finish(link, end).await;
}

/// Waits for the first bytes; `None` when none came, or not in time.
///
/// A connection that was made just before the drain gets its grace: its
/// request may be on the way.
async fn first_bytes<I>(
    link: &Link,
    mut io: I,
    known: Option<Protocol>,
    protocols: &Protocols,
) -> Option<(Protocol, Rewound<I>)>
where
    I: AsyncRead + Unpin,
{
    if let Some(protocol) = known {
        return Some((protocol, Rewound::new(Bytes::new(), io)));
    }
    let mut seen = BytesMut::new();
    let read = link.conn.read.load(Relaxed);
    let sniffed = {
        let sniffing = timeout(protocols.patience, sniff(&mut io, &mut seen));
        tokio::select! {
            biased;
            sniffed = sniffing => sniffed.ok()?,
            () = grace_over(link, read) => return None,
        }
    };
    let protocol = sniffed.ok()??;
    Some((protocol, Rewound::new(seen.freeze(), io)))
}

/// Ends when a connection that has not said what it wants has had its time;
/// `read` is what it had said before it was asked.
pub(crate) async fn grace_over(link: &Link, read: u64) {
    let conn = &link.conn;
    conn.shared.reached(Phase::Draining).await;
    let limits = conn.shared.settings.limits;
    let mut end = Instant::now() + limits.first_request_grace;
    if conn.read.load(Relaxed) > read {
        // It has begun to speak; then it is slow, not silent.
        end += limits.slow_client;
    }
    let over = async {
        conn.shared.reached(Phase::Hooks).await;
        // A request that is there, but was not seen yet, is refused and not dropped.
        if link.has_input() {
            sleep(conn.shared.settings.limits.last_words).await;
        }
    };
    tokio::select! {
        () = sleep_until(end) => {}
        () = over => {}
    }
}

/// Ends when the head of an HTTP/1 request has taken longer than `patience`.
///
/// Here and not by hyper's own timeout, which counts the time between two requests as well: it
/// would close an idle connection unannounced, and a request could be on its way. Polled after the
/// connection, in the same task; no request whose head comes in one piece costs a timer.
async fn slow_head(conn: &Conn, patience: Duration) {
    let mut limit = std::pin::pin!(None);
    poll_fn(|cx| {
        if !conn.has_partial_head() {
            limit.set(None);
            return Poll::Pending;
        }
        if limit.is_none() {
            limit.set(Some(sleep(patience)));
        }
        limit.as_mut().as_pin_mut().map_or(Poll::Pending, |limit| limit.poll(cx))
    })
    .await;
}

/// Runs hyper: watched while the process drains, and disturbed before only when `slow` ends.
///
/// A connection that fails has ended as well: its client is gone.
async fn run<C>(
    link: &Link,
    connection: C,
    shut_down: impl Fn(Pin<&mut C>),
    slow: impl Future<Output = ()>,
    protocol: Protocol,
) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = std::pin::pin!(connection);
    let shared = &link.conn.shared;
    let draining = Rarely::new(shared.reached(Phase::Draining));
    tokio::select! {
        biased;
        _ = connection.as_mut() => return End::Done,
        () = slow => {
            tracing::debug!(connection = %link.conn, "request head too slow");
            return End::Cut;
        }
        () = draining => {}
    }

    let limits = shared.settings.limits;
    let mut watch = Watch::new(limits, link.conn.number);
    let began = Instant::now();
    let mut aborting = std::pin::pin!(shared.reached(Phase::Hooks));
    let mut end = End::Done;
    loop {
        match watch.look(Instant::now() - began, facts(&link.conn, protocol)) {
            Action::Wait => {}
            // Nothing may come between the look into the socket and the close.
            Action::CloseIdle if link.has_input() => {}
            action @ (Action::CloseIdle | Action::GoAway) => {
                if action == Action::CloseIdle {
                    end = End::Idle;
                }
                shut_down(connection.as_mut());
            }
            Action::Cut(cut) => {
                tracing::debug!(connection = %link.conn, why = cut.as_str(), "connection cut");
                shared.tally.cut.fetch_add(1, Relaxed);
                return if cut == Cut::NoPong { End::Idle } else { End::Cut };
            }
        }
        tokio::select! {
            biased;
            _ = connection.as_mut() => return end,
            () = &mut aborting => {
                tokio::select! {
                    biased;
                    _ = connection.as_mut() => return end,
                    () = unseen_input(link, protocol) => {}
                }
                let idle = facts(&link.conn, protocol).is_idle();
                return if idle { End::Idle } else { End::Aborted };
            }
            () = sleep_until(Instant::now() + LOOK) => {}
        }
    }
}

/// Ends when no request is in the socket that could still be refused.
///
/// When the time of requests is over, what the runtime has seen was refused in
/// the same poll. What it has not seen yet takes it a turn or two.
async fn unseen_input(link: &Link, protocol: Protocol) {
    let end = Instant::now() + link.conn.shared.settings.limits.last_words;
    // Over HTTP/1, what is behind a request that runs is not read.
    let reads = || protocol == Protocol::Http2 || link.conn.in_flight.load(Relaxed) == 0;
    while reads() && link.has_input() && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
}

fn facts(conn: &Conn, protocol: Protocol) -> Facts {
    let read = conn.read.load(Relaxed);
    let in_flight = conn.in_flight.load(Relaxed);
    Facts {
        protocol,
        in_flight: in_flight.max(conn.streams.load(Relaxed)),
        awaiting_body: conn.awaiting_body.load(Relaxed),
        responding: conn.responding.load(Relaxed),
        served: conn.served.load(Relaxed),
        partial_head: protocol == Protocol::Http1 && conn.has_partial_head(),
        read,
        written: conn.written.load(Relaxed),
        write_blocked: conn.write_blocked.load(Relaxed),
    }
}

/// Closes the socket, or watches it when an upgrade has taken it away.
pub(crate) async fn finish(link: Arc<Link>, end: End) {
    let conn = Arc::clone(&link.conn);
    match end {
        // hyper is gone, so whoever else holds the link has upgraded it.
        End::Done if Arc::strong_count(&link) > 1 => upgraded(link, &conn).await,
        // A reset could destroy nothing, unless a request just crossed the close.
        End::Idle if !link.has_input() => {}
        End::Done | End::Idle => say_goodbye(&link, &conn).await,
        End::Cut => {}
        End::Aborted => {
            conn.shared.tally.aborted.fetch_add(1, Relaxed);
            conn.shared.leave_behind(|| conn.to_string());
            if conn.refused.load(Relaxed) {
                say_goodbye(&link, &conn).await;
            }
        }
    }
}

/// Closes the socket without a reset; quickly when the time of requests is over.
async fn say_goodbye(link: &Link, conn: &Conn) {
    let over = async {
        conn.shared.reached(Phase::Hooks).await;
        if conn.refused.load(Relaxed) {
            sleep(conn.shared.settings.limits.last_words).await;
        }
    };
    tokio::select! {
        biased;
        () = linger(link, conn.shared.settings.limits.linger) => {}
        () = over => {}
    }
}

/// Follows an upgraded connection, which no request stands for any more.
async fn upgraded(link: Arc<Link>, conn: &Conn) {
    let closed = link.on_close();
    // Severed also when the server itself is dropped.
    let _severed = SeverOnDrop(Arc::downgrade(&link));
    drop(link);
    tokio::select! {
        biased;
        _ = closed => {}
        () = conn.shared.reached(Phase::Hooks) => {
            conn.shared.tally.aborted.fetch_add(1, Relaxed);
            conn.shared.leave_behind(|| format!("upgraded {conn}"));
        }
    }
}

/// Ends a connection under whoever uses it, if it has not ended.
struct SeverOnDrop(Weak<Link>);

impl Drop for SeverOnDrop {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.sever();
        }
    }
}
