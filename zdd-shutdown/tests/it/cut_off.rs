//! Requests that come after the time of requests is over.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tonic::{Code, service::Routes, transport::Endpoint};
use tonic_health::pb::{health_client::HealthClient, health_server::HealthServer};
use zdd_shutdown::{Builder, IdleClose, Phase, Reason, Server, Shutdown};

use crate::{
    frames::{Frames, RST_STREAM},
    grpc::{Probe, ask},
    raw::{Client, block_until, until, within},
    site::{Site, ms, quick},
};

/// Settings under which a connection that is idle stays open to the end.
fn patient() -> Builder {
    quick().deadline(ms(1_000)).idle_close(IdleClose::WaitForPeer)
}

impl Site {
    /// Begins the shutdown, and keeps this thread, and with it the server,
    /// from running until the time of requests is over.
    fn sleep_through_the_drain(&self) {
        self.trigger();
        block_until(|| self.handle.phase() >= Phase::Hooks);
    }
}

#[tokio::test]
async fn a_request_that_comes_too_late_is_told_so_and_not_handled() {
    let site = Site::start(patient()).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.sleep_through_the_drain();
    client.io.try_write(b"GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.closes()), (503, true), "{}", response.head);
    assert!(response.head.contains("retry-after: 1\r\n"), "{}", response.head);
    client.closed().await.unwrap();
    // A permit would be there if the handler had been called.
    assert!(futures::FutureExt::now_or_never(site.entered.notified()).is_none());
    let report = site.finish().await;
    assert_eq!((report.refused, report.finished, report.abandoned), (1, 0, 0), "{report}");
    assert_eq!((report.connections.aborted, report.exit_code()), (0, 1), "{report}");
    assert!(report.to_string().contains("1 refused"), "{report}");
}

#[tokio::test]
async fn a_first_request_that_comes_too_late_is_told_so_too() {
    let site = Site::start(patient()).await;
    let mut client = Client::connect(site.address).await;
    until(|| site.handle.connections() > 0).await;
    site.sleep_through_the_drain();
    client.io.try_write(b"GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    assert_eq!(client.response().await.unwrap().status, 503);
    client.closed().await.unwrap();
    assert_eq!(site.finish().await.refused, 1);
}

#[tokio::test]
async fn a_client_that_uploads_too_late_can_read_that_it_is() {
    // The longer the hooks may take, the longer may a client take to listen.
    let site = Site::start(patient().deadline(ms(2_000))).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.sleep_through_the_drain();
    let head = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\n";
    client.io.try_write(head.as_bytes()).unwrap();
    client.io.try_write(&[b'x'; 60_000]).unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.closes()), (503, true), "{}", response.head);
    // The rest of the upload would reset the connection if nobody took it.
    assert_eq!(site.handle.connections(), 1, "still read from");
    client.closed().await.unwrap();
    drop(client);
    assert_eq!(site.finish().await.refused, 1);
}

#[tokio::test]
async fn a_connection_that_is_idle_when_time_is_over_is_no_loss() {
    let site = Site::start(patient()).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.trigger();
    client.closed().await.unwrap();
    assert!(site.handle.phase() >= Phase::Hooks);
    let report = site.finish().await;
    let connections = &report.connections;
    assert_eq!((connections.closed, connections.aborted), (1, 0), "{report}");
    assert_eq!((report.refused, report.exit_code()), (0, 0), "{report}");
}

#[tokio::test]
async fn a_stream_that_comes_too_late_is_refused_so_that_it_can_be_repeated() {
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    let site = Site::start(quick().deadline(ms(1_000))).await;
    let mut client = Frames::connect(site.address).await;
    client.get(1, "/hold").await;
    within(site.entered.notified()).await;
    site.sleep_through_the_drain();
    client.get(3, "/hold").await;
    let frames = client.closed().await.unwrap();
    let reset: Vec<_> = frames.iter().filter(|frame| frame.kind == RST_STREAM).collect();
    assert_eq!(reset.len(), 1, "{frames:?}");
    assert_eq!((reset[0].stream, reset[0].payload.as_slice()), (3, &REFUSED_STREAM[..]));
    assert!(futures::FutureExt::now_or_never(site.entered.notified()).is_none());
    let report = site.finish().await;
    assert_eq!((report.refused, report.abandoned), (1, 1), "{report}");
    assert_eq!((report.connections.aborted, report.finished), (1, 0), "{report}");
}

/// A shutdown whose time of requests is over, and a listener that is still there.
async fn over() -> (Shutdown, TcpListener, SocketAddr) {
    let shutdown = quick().deadline(ms(500)).embed().unwrap();
    shutdown.readiness().mark_ready();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    shutdown.trigger(Reason::Completed);
    within(shutdown.aborting()).await;
    (shutdown, listener, address)
}

#[tokio::test]
async fn a_connection_that_is_handed_over_too_late_is_told_so() {
    let (shutdown, listener, address) = over().await;
    let mut client = Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let app: Router = Router::new()
        .route("/", get(async || -> &'static str { unreachable!("it came too late") }));
    let accepted = listener.accept().await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(Server::new(&shutdown).serve_connection(accepted, app));
    assert_eq!(client.response().await.unwrap().status, 503);
    client.closed().await.unwrap();
    within(tasks.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_grpc_call_that_comes_too_late_is_unavailable() {
    const NAME: &str = "the name at the end of the call";
    let (shutdown, listener, address) = over().await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let service = Probe { handle: shutdown.handle(), gate: Arc::new(Semaphore::new(0)) };
    let server = Server::new(&shutdown);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let accepted = listener.accept().await.unwrap();
        // Not before the whole call is there: the connection is closed right after it.
        let mut seen = [0; 4096];
        while !seen.windows(NAME.len()).any(|window| window == NAME.as_bytes()) {
            accepted.0.peek(&mut seen).await.unwrap();
            tokio::task::yield_now().await;
        }
        let routes = Routes::new(HealthServer::new(service));
        server.serve_connection(accepted, routes).await;
    });
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let status = within(client.check(ask(NAME))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    // By the code that says that nothing was processed.
    assert!(format!("{status:?}").contains("REFUSED_STREAM"), "{status:?}");
    within(tasks.join_next()).await.unwrap().unwrap();
}
