//! The site under test: one route for each kind of request.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
};
use zdd_shutdown::{Builder, Phase, Reason, Report, Server, Shutdown, ShutdownHandle};

use crate::raw::within;

/// A server in this process, and its shutdown.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ShutdownHandle,
    /// Lets held requests go.
    pub(crate) gate: Arc<Semaphore>,
    /// Says that a held request has begun.
    pub(crate) entered: Arc<Notify>,
    server: JoinHandle<std::io::Result<()>>,
    shutdown: Shutdown,
}

#[derive(Clone)]
struct App {
    handle: ShutdownHandle,
    gate: Arc<Semaphore>,
    entered: Arc<Notify>,
}

/// Settings with which tests are quick: 3 s in all, no lame duck.
pub(crate) fn quick() -> Builder {
    Shutdown::builder()
        .deadline(ms(3_000))
        .sweep(ms(100))
        .first_request_grace(ms(200))
        .slow_client(ms(300))
        .pong_cap(ms(300))
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl Site {
    pub(crate) async fn start(builder: Builder) -> Self {
        Self::start_with(builder, |server| server).await
    }

    pub(crate) async fn start_with(
        builder: Builder,
        change: impl FnOnce(Server) -> Server,
    ) -> Self {
        let shutdown = builder.embed().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, entered) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
        let handle = shutdown.handle();
        let app =
            App { handle: handle.clone(), gate: Arc::clone(&gate), entered: Arc::clone(&entered) };
        let server = change(Server::new(&shutdown)).serve(listener, router(app));
        #[expect(clippy::disallowed_methods, reason = "joined in `finish`")]
        let server = tokio::spawn(server);
        let site = Self { address, handle, gate, entered, server, shutdown };
        site.reaches(Phase::Serving).await;
        site
    }

    pub(crate) fn trigger(&self) {
        assert!(self.handle.trigger(Reason::Completed));
    }

    pub(crate) async fn reaches(&self, phase: Phase) {
        let mut watch = self.handle.watch();
        within(watch.wait_for(|now| *now >= phase)).await.unwrap();
    }

    /// Waits for the hooks, with the server beside.
    pub(crate) async fn finish_beside(self) -> Report {
        let report = within(self.shutdown.finish()).await;
        within(self.server).await.unwrap().unwrap();
        report
    }

    /// Drops the future of the server.
    pub(crate) async fn drop_server(self) -> ShutdownHandle {
        self.server.abort();
        assert!(within(self.server).await.unwrap_err().is_cancelled());
        self.handle
    }

    /// Waits for the server and for the hooks.
    pub(crate) async fn finish(self) -> Report {
        within(self.server).await.unwrap().unwrap();
        within(self.shutdown.finish()).await
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/hold", get(hold))
        .route("/big", get(|| async { vec![b'x'; 10 * 1024 * 1024] }))
        .route("/echo", post(echo))
        .route("/refuse", post(|_: Request| async { StatusCode::PAYLOAD_TOO_LARGE }))
        .route("/status/{code}", get(status))
        .route("/events", get(events))
        .route("/endless", get(endless))
        .route("/ended", get(ended))
        .route("/numbered", get(numbered))
        .route("/upgrade/{manners}", any(upgrade))
        .route("/socket", any(socket))
        .with_state(app)
}

/// Answers when the gate lets it.
async fn hold(State(app): State<App>) -> &'static str {
    app.entered.notify_one();
    app.gate.acquire().await.unwrap().forget();
    "held"
}

async fn echo(State(app): State<App>, request: Request) -> Result<Bytes, StatusCode> {
    app.entered.notify_one();
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(body.to_bytes())
}

/// Answers with the status that is asked for, and no more.
async fn status(axum::extract::Path(code): axum::extract::Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

/// Events until the process drains, then the proper end.
async fn events(State(app): State<App>) -> Response {
    stream(async move { app.handle.draining().await })
}

/// Events for ever.
async fn endless() -> Response {
    stream(std::future::pending())
}

/// Events for ever, but for the body that carries them.
async fn ended(State(app): State<App>) -> impl IntoResponse {
    endless().await.map(|body| app.handle.end_on_drain(body))
}

/// Numbered events for ever, from the one behind that which the client has seen.
async fn numbered(State(app): State<App>, headers: HeaderMap) -> Response {
    let seen = headers.get("last-event-id").map_or("0", |id| id.to_str().unwrap());
    let first = seen.parse::<u64>().unwrap() + 1;
    let events = futures::stream::unfold(first, async |number| {
        tokio::time::sleep(ms(1)).await;
        let event = Bytes::from(format!("id: {number}\ndata: tick\n\n"));
        Some((Ok::<_, Infallible>(event), number + 1))
    });
    Body::from_stream(events).into_response().map(|body| Body::new(app.handle.end_on_drain(body)))
}

fn stream(until: impl Future<Output = ()> + Send + 'static) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let producer = async move {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                sent = sender.send(Ok(Bytes::from_static(b"data: tick\n\n"))) => if sent.is_err() { return },
            }
            tokio::time::sleep(ms(10)).await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the response")]
    tokio::spawn(producer);
    Body::from_stream(Receiver(receiver)).into_response()
}

struct Receiver(mpsc::Receiver<Result<Bytes, Infallible>>);

impl futures::Stream for Receiver {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Leaves HTTP; then says "bye" when the process drains, or never.
async fn upgrade(
    State(app): State<App>,
    axum::extract::Path(manners): axum::extract::Path<String>,
    mut request: Request,
) -> Response {
    let version = request.version();
    let upgrade = hyper::upgrade::on(&mut request);
    let conversation = async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        if manners == "polite" {
            app.handle.draining().await;
            app.gate.acquire().await.unwrap().forget();
            io.write_all(b"bye").await.unwrap();
            io.shutdown().await.unwrap();
        }
        // Until the peer closes.
        while io.read_u8().await.is_ok() {}
    };
    #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
    tokio::spawn(conversation);
    switched(version, [("upgrade", "chat")])
}

/// Agrees to an upgrade; HTTP/2, where it is a CONNECT, wants no more than a status.
fn switched<const N: usize>(version: http::Version, agreed: [(&str, &str); N]) -> Response {
    if version == http::Version::HTTP_2 {
        return StatusCode::OK.into_response();
    }
    let status = StatusCode::SWITCHING_PROTOCOLS;
    (status, [("connection", "upgrade")], agreed).into_response()
}

/// Length of the message of a WebSocket: more than all buffers on its way hold.
pub(crate) const MESSAGE: usize = 8 * 1024 * 1024;
/// Its head, as one binary frame.
pub(crate) const MESSAGE_HEAD: [u8; 10] = [0x82, 127, 0, 0, 0, 0, 0x80, 0, 0, 0];
/// The frame with which a server says that it goes away.
pub(crate) const CLOSE_1001: [u8; 4] = [0x88, 2, 0x03, 0xE9];

/// A WebSocket in the frames that matter here: a message, Close when the process drains, and the
/// client's Close.
async fn socket(State(app): State<App>, mut request: Request) -> Response {
    let version = request.version();
    let upgrade = hyper::upgrade::on(&mut request);
    let conversation = async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        io.write_all(&MESSAGE_HEAD).await.unwrap();
        io.write_all(&vec![b'x'; MESSAGE]).await.unwrap();
        app.handle.draining().await;
        io.write_all(&CLOSE_1001).await.unwrap();
        let mut close = [0; 8];
        io.read_exact(&mut close).await.unwrap();
        assert_eq!(close[..2], [0x88, 0x80 | 2], "masked, as a client's has to be");
        io.shutdown().await.unwrap();
        while io.read_u8().await.is_ok() {}
    };
    #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
    tokio::spawn(conversation);
    // For the key of RFC 6455's own example.
    let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    switched(version, [("upgrade", "websocket"), accept])
}
