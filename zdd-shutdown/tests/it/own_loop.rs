//! Programs that accept connections themselves and have them served.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    routing::{get, post},
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use zdd_shutdown::{Builder, LameDuck, Phase, Reason, Report, Server, Shutdown, Signal};

use crate::{
    raw::{Client, until, within},
    site::{ms, quick},
};

struct OwnLoop {
    address: SocketAddr,
    shutdown: Shutdown,
    /// Calls of the handler.
    handled: Arc<AtomicUsize>,
    server: JoinSet<()>,
}

impl OwnLoop {
    async fn start(builder: Builder) -> Self {
        let shutdown = builder.embed().unwrap();
        let mut listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap().unwrap();
        let handled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handled);
        let app = Router::new().route(
            "/count",
            post(async move || {
                count.fetch_add(1, Relaxed);
            }),
        );
        let connections = Server::new(&shutdown);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Some((io, _)) = listener.accept().await {
                tasks.spawn(connections.serve_connection(io, app.clone()));
            }
            tasks.join_all().await;
        });
        shutdown.readiness().mark_ready();
        within(shutdown.watch().wait_for(|now| *now >= Phase::Serving)).await.unwrap();
        Self { address, shutdown, handled, server }
    }

    async fn finish(mut self) -> (Report, usize) {
        within(self.server.join_next()).await.unwrap().unwrap();
        (within(self.shutdown.finish()).await, self.handled.load(Relaxed))
    }
}

const POST: &str = "POST /count HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";

/// Sends to whichever server `route` names, on one connection as long as it may.
async fn client(route: watch::Receiver<SocketAddr>, stop: Arc<AtomicBool>, ok: Arc<AtomicUsize>) {
    let mut connection = None;
    while !stop.load(Relaxed) {
        let address = *route.borrow();
        let mut client = match connection.take() {
            Some(client) => client,
            None => Client::connect(address).await,
        };
        let response = client.exchange(POST).await.unwrap();
        assert_eq!(response.status, 200);
        ok.fetch_add(1, Relaxed);
        if !response.closes() {
            connection = Some(client);
        }
        tokio::time::sleep(ms(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollover_between_accept_loops_of_ones_own_loses_nothing() {
    let pod = || quick().lame_duck(LameDuck::adaptive(ms(300), ms(1_000))).quiet(ms(200));
    let (old, new) = (OwnLoop::start(pod()).await, OwnLoop::start(quick()).await);
    let route = watch::Sender::new(old.address);
    let (stop, ok) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        clients.spawn(client(route.subscribe(), Arc::clone(&stop), Arc::clone(&ok)));
    }
    let answers = async |count: usize| {
        let goal = ok.load(Relaxed) + count;
        until(|| ok.load(Relaxed) >= goal).await;
    };
    answers(1_000).await;
    assert_eq!(old.shutdown.connections(), 50);
    old.shutdown.trigger(Signal::Terminate);
    answers(300).await;
    route.send_replace(new.address);
    let (report, before) = old.finish().await;
    answers(500).await;
    stop.store(true, Relaxed);
    while let Some(joined) = within(clients.join_next()).await {
        joined.unwrap();
    }
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(report.finished > 0 && report.connections.closed >= 50, "{report}");
    new.shutdown.trigger(Reason::Completed);
    let (report, after) = new.finish().await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(before + after, ok.load(Relaxed), "each executed exactly once");
}

#[tokio::test]
async fn closing_waits_for_a_connection_from_a_listener_that_is_not_ours() {
    let shutdown = quick().embed().unwrap();
    shutdown.readiness().mark_ready();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap()).await;
    let accepted = listener.accept().await.unwrap();
    drop(listener);
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let hold = get(async move || {
        held.acquire().await.unwrap().forget();
        "held"
    });
    let app: Router = Router::new().route("/hold", hold);
    let connection = Server::new(&shutdown).serve_connection(accepted, app);
    assert_eq!(shutdown.connections(), 1, "counted before it is polled");
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    until(|| shutdown.in_flight() > 0).await;
    shutdown.trigger(Signal::Interrupt);
    within(shutdown.stop_accepting()).await;
    gate.add_permits(1);
    let response = client.response().await.unwrap();
    assert!(response.closes() && response.body == b"held");
    client.closed().await.unwrap();
    within(tasks.join_next()).await.unwrap().unwrap();
    let report = within(shutdown.finish()).await;
    let closed = report.connections.closed;
    assert_eq!((report.finished, closed, report.exit_code()), (1, 1, 0), "{report}");
}

#[tokio::test]
async fn a_connection_that_the_listener_tracks_counts_once() {
    let server = OwnLoop::start(quick().lame_duck(LameDuck::fixed(ms(500)))).await;
    let mut idle = Client::connect(server.address).await;
    assert_eq!(idle.exchange(POST).await.unwrap().status, 200);
    server.shutdown.trigger(Signal::Terminate);
    within(server.shutdown.lame_duck()).await;
    // Accepted, handed over and ended while ends are counted.
    let mut late = Client::connect(server.address).await;
    assert_eq!(late.exchange(POST).await.unwrap().status, 200);
    assert_eq!(server.shutdown.connections(), 2);
    drop(late);
    // Idle, and closed by the same rules as those of the crate's own loop.
    idle.closed().await.unwrap();
    let (report, handled) = server.finish().await;
    assert_eq!((report.connections.closed, handled, report.exit_code()), (2, 2, 0), "{report}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_pair_of_unix_sockets_is_served() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let shutdown = quick().embed().unwrap();
    shutdown.readiness().mark_ready();
    let (mut client, served) = tokio::net::UnixStream::pair().unwrap();
    let app: Router = Router::new().route("/", get(|| async { "hello" }));
    let mut tasks = JoinSet::new();
    tasks.spawn(Server::new(&shutdown).serve_connection(served, app));
    client.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    within(tasks.join_next()).await.unwrap().unwrap();
}
