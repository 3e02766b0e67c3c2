//! tonic's own server on the tracked listener.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures::StreamExt;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use zdd_shutdown::{LameDuck, Phase, Shutdown, ShutdownHandle, Signal};

use crate::{
    frames::{Frames, GOAWAY, HEADERS},
    grpc::{Replies, ask},
    raw::{Client, block_until, until, within},
    site::{ms, quick},
};

/// What the service saw.
#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    locals: Mutex<HashSet<SocketAddr>>,
    remotes: Mutex<HashSet<SocketAddr>>,
}

#[derive(Clone, Default)]
struct Counting(Arc<Seen>);

#[tonic::async_trait]
impl Health for Counting {
    type WatchStream = Replies;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.calls.fetch_add(1, Relaxed);
        self.0.locals.lock().unwrap().extend(request.local_addr());
        self.0.remotes.lock().unwrap().extend(request.remote_addr());
        // Long enough for calls to be in flight at any moment.
        tokio::time::sleep(ms(2)).await;
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Replies>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

struct Foreign {
    address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinSet<Result<(), tonic::transport::Error>>,
}

async fn start(shutdown: &Shutdown) -> Foreign {
    let listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap().unwrap();
    let (drained, layer) = (listener.drained(), shutdown.layer());
    let service = Counting::default();
    let seen = Arc::clone(&service.0);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let server = Server::builder().layer(layer).add_service(HealthServer::new(service));
        server.serve_with_incoming_shutdown(listener, drained).await
    });
    shutdown.readiness().mark_ready();
    within(shutdown.watch().wait_for(|now| *now >= Phase::Serving)).await.unwrap();
    Foreign { address, seen, server }
}

/// Calls until a call fails; returns the phase in which the first did.
async fn call_to_the_end(
    mut client: HealthClient<tonic::transport::Channel>,
    shutdown: ShutdownHandle,
    answered: Arc<AtomicUsize>,
) -> Phase {
    while client.check(ask("")).await.is_ok() {
        answered.fetch_add(1, Relaxed);
        tokio::time::sleep(ms(5)).await;
    }
    shutdown.phase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonics_own_server_fails_no_call_that_it_took() {
    let lame_duck = LameDuck::fixed(ms(300));
    let shutdown = quick().lame_duck(lame_duck).embed().unwrap();
    let Foreign { address, seen, mut server } = start(&shutdown).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        for _ in 0..10 {
            let client = HealthClient::new(channel.clone());
            callers.spawn(call_to_the_end(client, shutdown.handle(), Arc::clone(&answered)));
        }
    }
    until(|| answered.load(Relaxed) >= 500).await;
    assert_eq!(shutdown.connections(), 4);
    shutdown.trigger(Signal::Terminate);
    // The stream has ended, and with it the server.
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    assert!(shutdown.phase() >= Phase::Closing);
    for failed in within(callers.join_all()).await {
        assert!(failed >= Phase::Closing, "failed in {failed}");
    }
    let report = within(shutdown.finish()).await;
    assert_eq!(seen.calls.load(Relaxed), answered.load(Relaxed), "all that were taken: {report}");
    let ended = (report.connections.closed, report.connections.aborted, report.exit_code());
    assert_eq!(ended, (4, 0, 0), "{report}");
    assert!(report.finished > 100, "calls came after the signal: {report}");
    assert_eq!(*seen.locals.lock().unwrap(), HashSet::from([address]));
    assert_eq!(seen.remotes.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn tonics_own_server_serves_streams_that_come_behind_the_answer_to_the_ping() {
    let shutdown = quick().embed().unwrap();
    let Foreign { address, mut server, .. } = start(&shutdown).await;
    let mut client = Frames::connect(address).await;
    shutdown.trigger(Signal::Interrupt);
    assert_eq!(client.next().await.unwrap().last_stream(), (1 << 31) - 1);
    let ping = client.next().await.unwrap();
    client.pong(&ping).await;
    let streams = [1, 3, 5];
    for stream in streams {
        client.get(stream, "/grpc.health.v1.Health/Check").await;
    }
    let (mut answered, mut last) = (HashSet::new(), None);
    while answered.len() < streams.len() || last.is_none() {
        let frame = client.next().await.unwrap();
        match frame.kind {
            HEADERS => _ = answered.insert(frame.stream),
            GOAWAY => last = Some(frame.last_stream()),
            _ => {}
        }
    }
    assert_eq!((answered, last), (HashSet::from(streams), Some(5)));
    drop(client);
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(within(shutdown.finish()).await.exit_code(), 0);
}

/// As many streams as the connections carry, so that clients have some queued at any moment.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollover_of_tonics_own_server_under_full_connections_loses_nothing() {
    let new_shutdown = || {
        let lame_duck = LameDuck::adaptive(ms(200), ms(600));
        // Time for all to be served on a machine that is busy otherwise.
        let builder = quick().deadline(ms(8_000)).pong_cap(ms(1_000));
        builder.lame_duck(lame_duck).quiet(ms(200)).embed().unwrap()
    };
    let (old, new) = (new_shutdown(), new_shutdown());
    let (mut old_site, mut new_site) = (start(&old).await, start(&new).await);
    let endpoints = zdd_load::Endpoints::loopback([old_site.address]).unwrap();
    let load = zdd_load::Load::new(endpoints.clone())
        .mode(zdd_load::Mode::Http2 { streams: 100 })
        .connections(10)
        .unpaced()
        .path("/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // A message without fields: its mark and its length.
        .post([0; 5])
        .start()
        .unwrap();
    until(|| load.snapshot().ok >= 2_000).await;
    old.trigger(Signal::Terminate);
    within(old.lame_duck()).await;
    endpoints.replace([new_site.address]).unwrap();
    within(old_site.server.join_next()).await.unwrap().unwrap().unwrap();
    let report = within(old.finish()).await;
    let goal = load.snapshot().ok + 2_000;
    until(|| load.snapshot().ok >= goal).await;
    let loads = load.stop().await;
    assert_eq!((loads.failed, report.exit_code()), (0, 0), "{loads}\n{report}");
    new.trigger(Signal::Interrupt);
    within(new_site.server.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(within(new.finish()).await.exit_code(), 0);
}

#[tokio::test]
async fn tonics_own_server_serves_what_waited_in_the_queue() {
    let shutdown = quick().embed().unwrap();
    let Foreign { address, mut server, .. } = start(&shutdown).await;
    // This thread runs the server too, which meets the connection in the queue of a listener
    // that closes.
    let queued = std::net::TcpStream::connect(address).unwrap();
    shutdown.trigger(Signal::Interrupt);
    block_until(|| shutdown.phase() >= Phase::Closing);
    queued.set_nonblocking(true).unwrap();
    let client = Client::from(tokio::net::TcpStream::from_std(queued).unwrap());
    let mut client = Frames::handshake(client).await;
    client.get(1, "/grpc.health.v1.Health/Check").await;
    let mut seen = Vec::new();
    loop {
        let frame = within(client.next()).await.unwrap();
        if frame.kind == HEADERS && frame.stream == 1 {
            break;
        }
        seen.push(frame);
        assert!(seen.len() < 10, "{seen:?}");
    }
    drop(client);
    within(server.join_next()).await.unwrap().unwrap().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
    let report = within(shutdown.finish()).await;
    let connections = &report.connections;
    assert_eq!((connections.rescued, connections.closed), (1, 1), "{report}");
}

#[tokio::test]
async fn the_listener_as_a_stream_ends_when_its_queue_was_handed_out() {
    let shutdown = quick().embed().unwrap();
    shutdown.readiness().mark_ready();
    let listener = shutdown.listener(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap().unwrap();
    let clients: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    shutdown.trigger(Signal::Interrupt);
    within(shutdown.stop_accepting()).await;
    let accepted: Vec<_> = within(listener.collect()).await;
    assert!(accepted.len() == 5 && accepted.iter().all(Result::is_ok), "{accepted:?}");
    drop((accepted, clients));
    assert_eq!(within(shutdown.finish()).await.connections.rescued, 5);
}
