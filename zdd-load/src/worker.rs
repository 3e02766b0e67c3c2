//! One worker: take a ticket, wait until it is due, send, count the outcome.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    cause::{Cause, Failure},
    endpoints::Pick,
    http1::{self, Connection, Idle},
    load::{Mode, Outcome},
    pacer::Due,
    running::Shared,
};

/// How many connections have had an address of their own. Of the process, not of a load: a probe's
/// addresses are not those of the load that comes after it.
static SOURCES: AtomicU32 = AtomicU32::new(0);

/// A complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) label: Option<String>,
    /// Whether the connection may carry another request.
    pub(crate) keep: bool,
}

/// Sends over HTTP/1.1 on one connection at a time.
pub(crate) async fn http1(shared: Arc<Shared>) {
    let request = http1::render(&shared.load);
    let mut stop = pin!(shared.stop.cancelled());
    let mut connection: Option<Connection> = None;
    while let Some(due) = shared.pacer.ticket() {
        let taken = Instant::now();
        if let Due::At(at) = due {
            let mut sleep = pin!(sleep_until(at));
            loop {
                let ended = tokio::select! {
                    biased;
                    () = &mut stop => return,
                    () = &mut sleep => break,
                    ended = http1::idle_end(connection.as_ref()) => ended,
                };
                connection = None;
                shared.count_idle(ended);
            }
        } else if shared.stop.is_cancelled() {
            return;
        }
        connection = send(&shared, &request, connection, since(due, taken)).await;
    }
}

/// Sends one request; gives the connection back when it can carry another.
async fn send(
    shared: &Shared,
    request: &[u8],
    idle: Option<Connection>,
    due: Instant,
) -> Option<Connection> {
    // The last look before the first byte leaves, straight at the socket: a
    // connection that the server has closed by now is not used, as RFC 9112
    // asks of a client, and no request is lost by it.
    let idle = idle.and_then(|connection| match connection.peek() {
        Idle::Open => Some(connection),
        ended @ (Idle::Closed | Idle::Reset) => {
            shared.count_idle(ended);
            None
        }
    });
    let reused = idle.is_some();
    shared.counters.begin();
    let exchange = async {
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::new(shared.connect().await?),
        };
        let label = shared.load.label_header.as_deref();
        let limit = shared.load.request_timeout;
        let response =
            timeout(limit, connection.exchange(request, label)).await.unwrap_or_else(|_| {
                Err(Failure::new(Cause::Timeout, format!("no complete response in {limit:?}")))
            })?;
        Ok((connection, response))
    };
    match exchange.await {
        Ok((connection, response)) => {
            let keep = response.keep && shared.load.mode == Mode::KeepAlive;
            shared.complete(&response, due, reused);
            keep.then_some(connection)
        }
        Err(failure) => {
            shared.fail(&failure, due, reused);
            None
        }
    }
}

/// Sends over one stream at a time of an HTTP/2 connection shared with others.
#[cfg(feature = "http2")]
pub(crate) async fn http2(shared: Arc<Shared>, session: Arc<crate::http2::Session>) {
    let mut stop = pin!(shared.stop.cancelled());
    while let Some(due) = shared.pacer.ticket() {
        let taken = Instant::now();
        if let Due::At(at) = due {
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep_until(at) => {}
            }
        } else if shared.stop.is_cancelled() {
            return;
        }
        let due = since(due, taken);
        shared.counters.begin();
        match session.exchange(&shared).await {
            Ok((response, reused)) => shared.complete(&response, due, reused),
            Err((failure, reused)) => shared.fail(&failure, due, reused),
        }
    }
}

/// From when a latency counts.
///
/// A request that all workers were too busy to take in time counts from when
/// it was due. One that a worker waited for counts from now, since the timer
/// rounds up to whole milliseconds and the server is not to blame for that.
fn since(due: Due, taken: Instant) -> Instant {
    match due {
        Due::At(at) if at < taken => at,
        Due::At(_) | Due::Now => Instant::now(),
    }
}

impl Shared {
    /// Opens a connection to the next endpoint.
    pub(crate) async fn connect(&self) -> Result<TcpStream, Failure> {
        let address = match self.load.endpoints.pick() {
            Pick::Address(address) => address,
            Pick::Forbidden(address) => {
                return Err(Failure::new(Cause::ForbiddenAddress, address.to_string()));
            }
            Pick::Nothing => return Err(Failure::new(Cause::NoEndpoint, "no endpoint")),
        };
        let limit = self.load.connect_timeout;
        let stream = match timeout(limit, self.dial(address)).await {
            Ok(connected) => connected.map_err(|error| Failure::connect(&error))?,
            Err(_) => {
                let detail = format!("no connection to {address} in {limit:?}");
                return Err(Failure::new(Cause::ConnectTimeout, detail));
            }
        };
        self.counters.open();
        // A request is one small write; Nagle's algorithm would hold back the second of two.
        stream.set_nodelay(true).map_err(|error| Failure::connect(&error))?;
        Ok(stream)
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        if !self.load.spread {
            return TcpStream::connect(address).await;
        }
        let [.., high, low] = SOURCES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into())?;
        socket.connect(address).await
    }

    fn complete(&self, response: &Response, due: Instant, reused: bool) {
        if !response.keep && self.load.mode != Mode::Fresh {
            self.counters.told_to_close();
        }
        if let Some(label) = &response.label {
            self.counters.label(label);
        }
        let cause = match response.status {
            400..500 => Some(Cause::Http4xx),
            500.. => Some(Cause::Http5xx),
            _ => None,
        };
        let latency = due.elapsed();
        match cause {
            None => self.counters.succeed(micros(latency)),
            Some(cause) => {
                let failure = Failure::new(cause, format!("status {}", response.status));
                self.counters.fail(&failure, reused, self.at_ms());
            }
        }
        let status = Some(response.status);
        self.tell(Outcome { status, label: response.label.as_deref(), cause, latency, reused });
    }

    fn fail(&self, failure: &Failure, due: Instant, reused: bool) {
        self.counters.fail(failure, reused, self.at_ms());
        let cause = Some(failure.cause);
        self.tell(Outcome { status: None, label: None, cause, latency: due.elapsed(), reused });
    }

    fn tell(&self, outcome: Outcome<'_>) {
        if let Some(callback) = &self.load.on_outcome {
            callback(&outcome);
        }
    }

    fn count_idle(&self, ended: Idle) {
        self.counters.idle_end(ended);
    }

    fn at_ms(&self) -> u64 {
        self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }
}

fn micros(latency: Duration) -> u64 {
    latency.as_micros().try_into().unwrap_or(u64::MAX)
}
