//! Probes, the layer and the listener with axum's own server, Unix sockets.

use std::sync::Arc;

use axum::{Router, extract::ConnectInfo, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use zdd_shutdown::{LameDuck, Phase, ReadinessPolicy, ReadyWhen, Shutdown, Signal};

use crate::{
    raw::{Client, block_until, until, within},
    site::{ms, quick},
};

/// Answers of the probes, by phase.
async fn probes(policy: ReadinessPolicy) -> Vec<(Phase, u16, u16)> {
    let builder = quick().lame_duck(LameDuck::fixed(ms(200))).readiness(policy);
    let shutdown = builder.ready_when(ReadyWhen::Marked).embed().unwrap();
    let handle = shutdown.handle();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app: Router = Router::new().merge(shutdown.probe_routes());
    let mut server = JoinSet::new();
    let serving = handle.clone();
    server.spawn(async move { zdd_shutdown::serve(listener, app, &serving).await });

    // One connection for all, so that it outlives the listener.
    let mut client = Client::connect(address).await;
    let guard = handle.guard();
    let mut answers = Vec::new();
    for phase in [Phase::Starting, Phase::Serving, Phase::LameDuck, Phase::Draining] {
        if phase == Phase::Serving {
            shutdown.readiness().mark_ready();
        } else if phase == Phase::LameDuck {
            handle.trigger(Signal::Terminate);
        }
        within(handle.watch().wait_for(|now| *now >= phase)).await.unwrap();
        let mut ask = async |target| match client.get(target).await {
            Ok(response) if response.closes() => {
                client = Client::connect(address).await;
                response.status
            }
            response => response.unwrap().status,
        };
        answers.push((phase, ask("/livez").await, ask("/readyz").await));
    }
    drop(guard);
    drop(client);
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(within(shutdown.finish()).await.exit_code(), 0);
    answers
}

#[tokio::test]
async fn readiness_flips_by_policy_and_liveness_never_does() {
    use Phase::*;
    assert_eq!(
        probes(ReadinessPolicy::FlipAtSignal).await,
        [(Starting, 200, 503), (Serving, 200, 200), (LameDuck, 200, 503), (Draining, 200, 503),]
    );
    assert_eq!(
        probes(ReadinessPolicy::FlipAtClose).await,
        [(Starting, 200, 503), (Serving, 200, 200), (LameDuck, 200, 200), (Draining, 200, 200),]
    );
}

#[tokio::test]
async fn readiness_fails_when_the_listener_has_closed() {
    let shutdown = quick().readiness(ReadinessPolicy::FlipAtClose).embed().unwrap();
    shutdown.readiness().mark_ready();
    assert!(shutdown.readiness().is_ready() || shutdown.phase() == Phase::Starting);
    let _guard = shutdown.handle().guard();
    shutdown.trigger(Signal::Terminate);
    within(shutdown.stop_accepting()).await;
    assert!(!shutdown.readiness().is_ready());
    assert!(shutdown.readiness().is_alive());
    shutdown.readiness().mark_dead();
    assert!(!shutdown.readiness().is_alive());
}

/// A server with probes and an adaptive lame duck of 200 ms to 1 s.
async fn pod() -> (Shutdown, std::net::SocketAddr, JoinSet<std::io::Result<()>>) {
    let builder = quick().lame_duck(LameDuck::adaptive(ms(200), ms(1_000))).quiet(ms(150));
    let shutdown = builder.embed().unwrap();
    let handle = shutdown.handle();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(|| async { "" })).merge(shutdown.probe_routes());
    let mut server = JoinSet::new();
    let serving = handle.clone();
    server.spawn(async move { zdd_shutdown::serve(listener, app, &serving).await });
    within(handle.watch().wait_for(|now| *now >= Phase::Serving)).await.unwrap();
    (shutdown, address, server)
}

#[tokio::test]
async fn probes_do_not_prolong_the_lame_duck_and_requests_do() {
    for (target, expected) in [("/readyz", ms(200)..ms(600)), ("/", ms(900)..ms(1_500))] {
        let (shutdown, address, mut server) = pod().await;
        let handle = shutdown.handle();
        // Whoever was never called cannot tell silence from a proxy that lags.
        Client::connect(address).await.get("/").await.unwrap();
        handle.trigger(Signal::Terminate);
        within(handle.lame_duck()).await;
        let mut connections = 0;
        // A new connection every 20 ms, as from a load balancer or the kubelet.
        while handle.phase() == Phase::LameDuck {
            Client::connect(address).await.get(target).await.unwrap();
            connections += 1;
            tokio::time::sleep(ms(20)).await;
        }
        assert!(connections > 5, "{target}: {connections}");
        within(server.join_next()).await.unwrap().unwrap().unwrap();
        let report = within(shutdown.finish()).await;
        let lame_duck = report.phases[0].took;
        assert!(expected.contains(&lame_duck), "{target}: {report}");
    }
}

#[tokio::test]
async fn a_young_server_that_nobody_has_called_waits_for_those_who_will() {
    for called in [false, true] {
        let (shutdown, address, mut server) = pod().await;
        let handle = shutdown.handle();
        // The kubelet does not count.
        Client::connect(address).await.get("/readyz").await.unwrap();
        if called {
            Client::connect(address).await.get("/").await.unwrap();
        }
        handle.trigger(Signal::Terminate);
        within(server.join_next()).await.unwrap().unwrap().unwrap();
        let report = within(shutdown.finish()).await;
        let expected = if called { ms(200)..ms(800) } else { ms(900)..ms(1_500) };
        assert!(expected.contains(&report.phases[0].took), "called: {called}, {report}");
    }
}

/// axum's own server with the layer and the listener of this crate.
async fn foreign(
    app: Router,
    shutdown: &Shutdown,
) -> (std::net::SocketAddr, JoinSet<std::io::Result<()>>) {
    let listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap().unwrap();
    let drained = listener.drained();
    let app = app.layer(shutdown.layer());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).with_graceful_shutdown(drained).await });
    shutdown.readiness().mark_ready();
    (address, server)
}

#[tokio::test]
async fn axums_own_server_drains_with_the_layer_and_the_listener() {
    let shutdown = quick().embed().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let hold = get(async move || {
        held.acquire().await.unwrap().forget();
        "held"
    });
    let app = Router::new().route("/hold", hold).route("/", get(|| async { "hello" }));
    let (address, mut server) = foreign(app, &shutdown).await;
    let mut client = Client::connect(address).await;
    assert!(!client.get("/").await.unwrap().closes());
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    until(|| shutdown.in_flight() > 0).await;
    assert_eq!(shutdown.connections(), 1);
    shutdown.trigger(Signal::Interrupt);
    within(shutdown.stop_accepting()).await;
    gate.add_permits(1);
    let response = client.response().await.unwrap();
    assert!(response.closes() && response.body == b"held");
    client.closed().await.unwrap();
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    let report = within(shutdown.finish()).await;
    assert_eq!(
        (report.finished, report.connections.closed, report.exit_code()),
        (1, 1, 0),
        "{report}"
    );
}

#[tokio::test]
async fn an_upgraded_connection_of_axums_own_server_that_is_cut_is_reported() {
    let shutdown = quick().embed().unwrap();
    let upgrade = axum::routing::any(|mut request: axum::extract::Request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        let ignoring = async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            // Until the peer closes.
            while io.read_u8().await.is_ok() {}
        };
        #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
        tokio::spawn(ignoring);
        (http::StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade")])
    });
    let (address, mut server) = foreign(Router::new().route("/", upgrade), &shutdown).await;
    let mut client = Client::connect(address).await;
    client
        .send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n")
        .await;
    assert!(client.head().await.unwrap().starts_with("http/1.1 101"));
    shutdown.trigger(Signal::Interrupt);
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    let report = within(shutdown.finish()).await;
    assert_eq!((report.connections.aborted, report.exit_code()), (1, 1), "{report}");
    assert_eq!(report.leftovers, ["connections of a foreign server: 1"]);
}

#[tokio::test]
async fn the_tracked_listener_hands_out_its_queue_before_it_ends() {
    let shutdown = quick().embed().unwrap();
    shutdown.readiness().mark_ready();
    let mut listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap().unwrap();
    let clients: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let drained = listener.drained();
    shutdown.trigger(Signal::Interrupt);
    within(shutdown.stop_accepting()).await;
    let mut accepted = Vec::new();
    while let Some((io, _)) = within(listener.accept()).await {
        accepted.push(io);
    }
    within(drained).await;
    assert_eq!((accepted.len(), shutdown.connections()), (20, 20));
    assert!(std::net::TcpStream::connect(address).is_err());
    drop((accepted, clients));
    assert_eq!(within(shutdown.finish()).await.exit_code(), 0);
}

#[tokio::test]
async fn handlers_learn_the_peer_if_asked_to() {
    let shutdown = quick().embed().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who =
        get(|ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| async move { peer.to_string() });
    let server = zdd_shutdown::Server::new(&shutdown).connect_info();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(listener, Router::new().route("/", who)));
    let mut client = Client::connect(address).await;
    let local = client.io.local_addr().unwrap().to_string();
    assert_eq!(client.get("/").await.unwrap().body, local.as_bytes());
}

#[tokio::test]
async fn unix_sockets_drain_and_empty_their_queue() {
    let path = std::env::temp_dir().join(format!("zdd-shutdown-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let shutdown = quick().embed().unwrap();
    let handle = shutdown.handle();
    let listener = UnixListener::bind(&path).unwrap();
    let mut server = JoinSet::new();
    let app = Router::new().route("/", get(|| async { "hello" }));
    server.spawn(async move { zdd_shutdown::serve(listener, app, &handle).await });
    within(shutdown.watch().wait_for(|now| *now >= Phase::Serving)).await.unwrap();

    let exchange = async |io: &mut UnixStream| {
        io.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        within(io.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    };
    let mut early = UnixStream::connect(&path).await.unwrap();
    exchange(&mut early).await;
    // This thread also runs the server, which meets the second in its queue.
    let queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
    shutdown.trigger(Signal::Interrupt);
    block_until(|| shutdown.phase() >= Phase::Closing);
    queued.set_nonblocking(true).unwrap();
    let mut queued = UnixStream::from_std(queued).unwrap();
    exchange(&mut queued).await;
    drop((early, queued));
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    let report = within(shutdown.finish()).await;
    assert_eq!((report.connections.rescued, report.exit_code()), (1, 0), "{report}");
    std::fs::remove_file(&path).unwrap();
}
