//! One connection: what is known of it and how it is driven to a clean end.
//!
//! ```text
//! socket ─ Link ─ DrainIo ─ (TLS) ─ first bytes ─ hyper ─ ConnService ─ the app
//!            │                                               │
//!            └──────────── Conn: counts and flags ───────────┘
//!                             │
//!                          policy: what to do with it while the process drains
//! ```

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use http::Method;

use crate::shared::{Shared, lock};

pub(crate) mod driver;
pub(crate) mod first;
pub(crate) mod io;
pub(crate) mod linger;
pub(crate) mod policy;
pub(crate) mod pong;
pub(crate) mod rarely;
pub(crate) mod refusal;
pub(crate) mod service;
pub(crate) mod stream;
pub(crate) mod streams;

/// Longest part of a request target that a report shows.
const TARGET: usize = 64;

/// What the parts of a connection tell each other.
///
/// All parts run in the task of the connection, or in the tasks of its HTTP/2
/// streams; nothing is decided on one value alone, so that relaxed order is enough.
pub(crate) struct Conn {
    pub(crate) shared: Arc<Shared>,
    /// Number of the connection in its listener.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    /// Bytes that came in and went out.
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
    /// The peer sent its last byte.
    pub(crate) read_closed: AtomicBool,
    /// The last write had to wait for the peer.
    pub(crate) write_blocked: AtomicBool,
    /// Requests whose response body has not ended.
    pub(crate) in_flight: AtomicUsize,
    /// Requests that ended.
    pub(crate) served: AtomicU64,
    /// `read` when the last request ended.
    pub(crate) read_at_end: AtomicU64,
    /// Requests whose handler waits for more of the request body.
    pub(crate) awaiting_body: AtomicUsize,
    /// Requests whose response has begun; an open stream may be silent for as long as it likes.
    pub(crate) responding: AtomicUsize,
    /// Tasks of HTTP/2 streams.
    pub(crate) streams: AtomicUsize,
    /// Whether a request was refused.
    pub(crate) refused: AtomicBool,
    /// Whether this connection was counted as traffic.
    arrived: AtomicBool,
    last: Mutex<LastRequest>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    Address(std::net::SocketAddr),
    #[cfg(unix)]
    Unix,
}

impl Peer {
    pub(crate) fn address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            #[cfg(unix)]
            Self::Unix => None,
        }
    }
}

/// The last request, kept without allocating.
struct LastRequest {
    method: Method,
    target: [u8; TARGET],
    len: usize,
}

impl Conn {
    pub(crate) fn new(shared: Arc<Shared>, number: u64, peer: Peer) -> Self {
        Self {
            shared,
            number,
            peer,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read_closed: AtomicBool::new(false),
            write_blocked: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            read_at_end: AtomicU64::new(0),
            awaiting_body: AtomicUsize::new(0),
            responding: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            arrived: AtomicBool::new(false),
            last: Mutex::new(LastRequest { method: Method::GET, target: [0; TARGET], len: 0 }),
        }
    }

    /// Notes that a request begins.
    pub(crate) fn request_began<B>(&self, request: &http::Request<B>) {
        self.in_flight.fetch_add(1, Relaxed);
        let target = request.uri().path().as_bytes();
        let len = target.len().min(TARGET);
        let mut last = lock(&self.last);
        if last.method != *request.method() {
            last.method = request.method().clone();
        }
        last.target[..len].copy_from_slice(&target[..len]);
        last.len = len;
    }

    /// Notes that a request, its response body included, has ended.
    pub(crate) fn request_ended(&self) {
        self.read_at_end.store(self.read.load(Relaxed), Relaxed);
        self.served.fetch_add(1, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Returns whether an HTTP/1 request has begun to come in and its head is not complete.
    pub(crate) fn has_partial_head(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
            && self.read.load(Relaxed) != self.read_at_end.load(Relaxed)
    }

    /// Notes that a request came when the time of requests was over.
    pub(crate) fn refuse(&self) {
        // It has come to its end, as far as its head goes.
        self.read_at_end.store(self.read.load(Relaxed), Relaxed);
        self.refused.store(true, Relaxed);
        self.shared.tally.refused.fetch_add(1, Relaxed);
    }

    /// Counts the connection as traffic that has not moved away; once.
    pub(crate) fn arrive(&self) {
        if !self.arrived.swap(true, Relaxed) {
            self.shared.arrivals.fetch_add(1, Relaxed);
        }
    }
}

/// Names the connection in reports.
impl fmt::Display for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Peer::Address(address) => write!(f, "connection {address}")?,
            #[cfg(unix)]
            Peer::Unix => write!(f, "unix connection {}", self.number)?,
        }
        let in_flight = self.in_flight.load(Relaxed);
        if in_flight + usize::from(self.served.load(Relaxed) > 0) > 0 {
            let last = lock(&self.last);
            let target = String::from_utf8_lossy(&last.target[..last.len]);
            write!(f, ", {in_flight} in flight, last request {} {target}", last.method)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
