//! HTTP/2 with prior knowledge: streams that share a connection.
//!
//! The rules of a client that may count losses: once GOAWAY has been seen, no
//! stream is opened on that connection and the next request opens a new one.
//! A stream that the client was allowed to open and that the server refuses all
//! the same is a failure, although RFC 9113 would let a client send it again.
//!
//! A response of the type `application/grpc` is ok only if its `grpc-status` is.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use h2::{Reason, client};
use http::{HeaderMap, Request, header::CONTENT_TYPE};
use tokio::sync::Mutex;

use crate::{
    cause::{Cause, Failure},
    load::Load,
    running::Shared,
    worker::Response,
};

/// How often a stream moves on to a new connection before it was sent.
const MOVES: usize = 3;

/// One connection slot; its streams share whatever connection is there.
#[derive(Debug, Default)]
pub(crate) struct Session {
    live: RwLock<Option<Live>>,
    /// Held while connecting, so that one stream opens the connection for all.
    opening: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Live {
    sender: client::SendRequest<Bytes>,
    used: Arc<std::sync::atomic::AtomicBool>,
}

impl Session {
    /// Sends one request and reads the whole response; also tells whether the connection had served before.
    pub(crate) async fn exchange(
        &self,
        shared: &Shared,
    ) -> Result<(Response, bool), (Failure, bool)> {
        let limit = shared.load.request_timeout;
        let mut last = None;
        for _ in 0..MOVES {
            let live = self.open(shared).await.map_err(|failure| (failure, false))?;
            let reused = live.used.load(std::sync::atomic::Ordering::Relaxed);
            let sent = tokio::time::timeout(limit, send(&live, &shared.load)).await;
            match sent {
                Err(_) => {
                    let detail = format!("no complete response in {limit:?}");
                    return Err((Failure::new(Cause::Timeout, detail), reused));
                }
                Ok(Ok(response)) => {
                    live.used.store(true, std::sync::atomic::Ordering::Relaxed);
                    return Ok((response, reused));
                }
                Ok(Err(Ended::Sent(failure))) => return Err((failure, reused)),
                Ok(Err(Ended::NotSent(error))) => {
                    self.leave(shared, &live);
                    last = Some((classify(&error, 0), reused));
                }
            }
        }
        Err(last.unwrap_or_else(|| (Failure::new(Cause::ConnectFailed, "no connection"), false)))
    }

    async fn open(&self, shared: &Shared) -> Result<Live, Failure> {
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let _one = self.opening.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let stream = shared.connect().await?;
        let limit = shared.load.connect_timeout;
        let handshake = client::Builder::new().initial_window_size(1 << 20).handshake(stream);
        let (sender, connection) = tokio::time::timeout(limit, handshake)
            .await
            .map_err(|_| Failure::new(Cause::ConnectTimeout, "no HTTP/2 handshake in time"))?
            .map_err(|error| classify(&error, 0))?;
        let abandoned = shared.abandoned.clone();
        shared.drivers.spawn(async move {
            // Its error is seen by the streams; each of them counts its own loss.
            let _ = abandoned.run_until_cancelled(connection).await;
        });
        let live = Live { sender, used: Arc::default() };
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
        Ok(live)
    }

    fn current(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives up a connection that takes no new streams, unless another stream has done so already.
    fn leave(&self, shared: &Shared, old: &Live) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(&live.used, &old.used)) {
            *live = None;
            shared.counters.told_to_close();
        }
    }
}

enum Ended {
    NotSent(h2::Error),
    Sent(Failure),
}

async fn send(live: &Live, load: &Load) -> Result<Response, Ended> {
    let mut sender = live.sender.clone().ready().await.map_err(Ended::NotSent)?;
    let mut request =
        Request::builder().method(load.method).uri(format!("http://{}{}", load.host, load.path));
    for (name, value) in &load.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(())
        .map_err(|error| Ended::Sent(Failure::new(Cause::Malformed, error.to_string())))?;
    let no_body = load.body.is_empty();
    let (response, mut body) = sender.send_request(request, no_body).map_err(Ended::NotSent)?;
    if !no_body {
        body.send_data(Bytes::copy_from_slice(&load.body), true)
            .map_err(|error| Ended::Sent(classify(&error, 0)))?;
    }
    let (head, mut body) =
        response.await.map_err(|error| Ended::Sent(classify(&error, 0)))?.into_parts();
    let mut received = 1;
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| Ended::Sent(classify(&error, received)))?;
        received += data.len();
        body.flow_control()
            .release_capacity(data.len())
            .map_err(|error| Ended::Sent(classify(&error, received)))?;
    }
    let trailers =
        body.trailers().await.map_err(|error| Ended::Sent(classify(&error, received)))?;
    grpc_status(&head.headers, trailers.as_ref()).map_err(Ended::Sent)?;
    let label = load.label_header.as_ref().and_then(|name| head.headers.get(name.as_str()));
    let label = label.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok(Response { status: head.status.as_u16(), label, keep: true })
}

/// Checks the status of a gRPC call, which is not that of HTTP.
fn grpc_status(head: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<(), Failure> {
    let kind = head.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if !kind.starts_with(b"application/grpc") {
        return Ok(());
    }
    // A call that fails at once has its status in the only head there is.
    let status = |headers: &HeaderMap| {
        Some(String::from_utf8_lossy(headers.get("grpc-status")?.as_bytes()).into_owned())
    };
    match trailers.and_then(status).or_else(|| status(head)) {
        Some(status) if status == "0" => Ok(()),
        Some(status) => Err(Failure::new(Cause::GrpcStatus, format!("grpc-status {status}"))),
        None => Err(Failure::new(Cause::Malformed, "no grpc-status")),
    }
}

fn classify(error: &h2::Error, received: usize) -> Failure {
    if let Some(error) = error.get_io() {
        return Failure::transfer(error, received);
    }
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    let cause = match () {
        () if error.is_remote() && (error.is_go_away() || refused) => Cause::StreamRefused,
        () if error.is_remote() && error.is_reset() => Cause::StreamReset,
        () if error.is_go_away() || error.is_reset() => Cause::Malformed,
        () if received == 0 => Cause::ClosedBeforeResponse,
        () => Cause::ClosedMidResponse,
    };
    Failure::new(cause, error.to_string())
}
