//! What load to send.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{cause::Cause, endpoints::Endpoints, http1, running::Running};

/// How requests use connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// One connection per request.
    Fresh,
    /// HTTP/2 with prior knowledge: each connection carries this many streams at once.
    #[cfg(feature = "http2")]
    Http2 {
        /// Streams per connection.
        streams: usize,
    },
    /// Each connection is reused until a response says `Connection: close` or the server closes it.
    KeepAlive,
}

/// A load that cannot be sent.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The address is not one of this machine's loopback addresses.
    #[error(
        "refused to send load to {0}: not a loopback address; \
         use Endpoints::in_namespace for a network namespace of your own"
    )]
    NotLoopback(SocketAddr),
    /// The endpoints come from a resolver, which decides by itself.
    #[error("cannot replace the endpoints: they come from a resolver")]
    NotAList,
    /// A setting is out of range.
    #[error("invalid load: {setting} must be at least 1")]
    Zero {
        /// The setting.
        setting: &'static str,
    },
    /// The path, host, header or label would break the request apart.
    #[error("invalid load: {setting} holds a character that HTTP does not allow there: {value:?}")]
    BadCharacter {
        /// The setting.
        setting: &'static str,
        /// The value as given.
        value: String,
    },
    /// There is no tokio runtime to send from.
    #[error("cannot start the load outside of a tokio runtime")]
    NoRuntime,
}

/// The end of one request, as the callback of [`Load::on_outcome`] sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outcome<'a> {
    /// The status, when a complete response came.
    pub status: Option<u16>,
    /// The value of the label header, when there was one.
    pub label: Option<&'a str>,
    /// Why the request failed; `None` when it was ok.
    pub cause: Option<Cause>,
    /// From the time the request was due to its end.
    pub latency: Duration,
    /// Whether its connection had served others before.
    pub reused: bool,
}

type OnOutcome = Arc<dyn Fn(&Outcome<'_>) + Send + Sync>;

/// A load to send: where, how, how much.
///
/// Both count and time are bounded; the defaults are 10 connections,
/// 1,000 requests per second, 1,000,000 requests, 60 seconds.
#[derive(Clone)]
#[must_use = "nothing is sent before `start`"]
pub struct Load {
    pub(crate) endpoints: Endpoints,
    pub(crate) mode: Mode,
    pub(crate) connections: usize,
    pub(crate) rate: Option<u32>,
    pub(crate) total: u64,
    pub(crate) max_duration: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) spread: bool,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) label_header: Option<String>,
    pub(crate) on_outcome: Option<OnOutcome>,
    pub(crate) cancel: CancellationToken,
}

impl Load {
    /// Describes a keep-alive load of `GET /` with the default bounds.
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            mode: Mode::KeepAlive,
            connections: 10,
            rate: Some(1_000),
            total: 1_000_000,
            max_duration: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            spread: false,
            method: "GET",
            path: "/".to_owned(),
            host: "localhost".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            label_header: None,
            on_outcome: None,
            cancel: CancellationToken::new(),
        }
    }

    /// Sets how requests use connections.
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets the number of connections; with [`Mode::Fresh`] the most that are open at once.
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Sets the arrival rate in requests per second.
    pub fn rate(self, per_second: u32) -> Self {
        Self { rate: Some(per_second), ..self }
    }

    /// Sends as fast as the server answers (closed loop); for throughput, not for latency.
    pub fn unpaced(self) -> Self {
        Self { rate: None, ..self }
    }

    /// Bounds the number of requests.
    pub fn total(self, requests: u64) -> Self {
        Self { total: requests, ..self }
    }

    /// Bounds the time in which requests are begun.
    pub fn max_duration(self, max_duration: Duration) -> Self {
        Self { max_duration, ..self }
    }

    /// Bounds the time from sending a request to the end of its response.
    pub fn request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// Bounds the time for one connection to be established.
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Opens each connection from a loopback address of its own, in turn all of 127.1.0.0/16, over
    /// all loads of the process.
    ///
    /// For endpoints on IPv4 loopback, where the kernel answers to all of 127.0.0.0/8. Without it a
    /// thousand fresh connections per second use a port again within the two minutes in which the
    /// connection tracking of a Kubernetes node remembers where that port led to. They reach pods
    /// that are long gone; and one that was refused, as the Service had no endpoints yet, is
    /// refused once more when it has some.
    pub fn spread_sources(self) -> Self {
        Self { spread: true, ..self }
    }

    /// Sets the path and query.
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Sets the `Host` header.
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Adds a request header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends `POST` with this body in place of `GET`.
    pub fn post(self, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", body: body.into(), ..self }
    }

    /// Counts complete responses by the value of this response header.
    pub fn label_header(self, name: impl Into<String>) -> Self {
        Self { label_header: Some(name.into()), ..self }
    }

    /// Calls `callback` at the end of each request, on the worker's own task: it must be quick.
    pub fn on_outcome(self, callback: impl Fn(&Outcome<'_>) + Send + Sync + 'static) -> Self {
        Self { on_outcome: Some(Arc::new(callback)), ..self }
    }

    /// Begins no request after `token` is cancelled, like [`Running::stop`].
    pub fn cancel_with(self, token: CancellationToken) -> Self {
        Self { cancel: token, ..self }
    }

    /// Starts sending on the current tokio runtime.
    ///
    /// # Errors
    /// [`LoadError`] when a setting is out of range or there is no runtime;
    /// nothing has been sent then.
    pub fn start(self) -> Result<Running, LoadError> {
        self.check()?;
        Running::start(self)
    }

    fn check(&self) -> Result<(), LoadError> {
        let zero = |setting| Err(LoadError::Zero { setting });
        match self {
            Self { connections: 0, .. } => return zero("connections"),
            Self { rate: Some(0), .. } => return zero("rate"),
            Self { total: 0, .. } => return zero("total"),
            #[cfg(feature = "http2")]
            Self { mode: Mode::Http2 { streams: 0 }, .. } => return zero("streams"),
            Self { .. } => {}
        }
        http1::check(self)
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("endpoints", &self.endpoints)
            .field("mode", &self.mode)
            .field("connections", &self.connections)
            .field("rate", &self.rate)
            .field("total", &self.total)
            .field("max_duration", &self.max_duration)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
