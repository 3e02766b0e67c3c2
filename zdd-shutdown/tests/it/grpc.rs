//! tonic's services in the serve loop.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    service::Routes,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use zdd_shutdown::{LameDuck, Phase, Shutdown, ShutdownHandle, Signal};

use crate::{
    raw::{until, within},
    site::{ms, quick},
};

pub(crate) type Replies =
    Pin<Box<dyn futures::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

/// A service with a unary call and two kinds of streams, in the shape of the
/// health service, which saves a code generator.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) handle: ShutdownHandle,
    pub(crate) gate: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Health for Probe {
    type WatchStream = Replies;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if request.get_ref().service == "hold" {
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Replies>, Status> {
        let handle = self.handle.clone();
        if let Some(seen) = request.get_ref().service.strip_prefix("numbers behind ") {
            let first = seen.parse::<i32>().unwrap() + 1;
            return Ok(Response::new(numbers(first, handle)));
        }
        let polite = request.get_ref().service == "polite";
        let first = HealthCheckResponse { status: ServingStatus::Serving.into() };
        let stream =
            futures::stream::unfold(Some((Some(first), handle)), move |state| async move {
                let (first, handle) = state?;
                if let Some(first) = first {
                    return Some((Ok(first), Some((None, handle))));
                }
                if !polite {
                    std::future::pending::<()>().await;
                }
                handle.draining().await;
                Some((Err(Status::unavailable("moving")), None))
            });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Numbered messages until the process drains. Statuses carry the numbers: an enum of protobuf
/// takes any.
fn numbers(first: i32, handle: ShutdownHandle) -> Replies {
    let stream = futures::stream::unfold(Some(first), move |next| {
        let handle = handle.clone();
        async move {
            let number = next?;
            tokio::select! {
                biased;
                () = handle.draining() => Some((Err(Status::unavailable("moving")), None)),
                () = tokio::time::sleep(ms(1)) => {
                    Some((Ok(HealthCheckResponse { status: number }), Some(number + 1)))
                }
            }
        }
    });
    Box::pin(stream)
}

struct Fixture {
    shutdown: Shutdown,
    gate: Arc<Semaphore>,
    server: JoinSet<std::io::Result<()>>,
    channel: Channel,
}

async fn start(shutdown: Shutdown, routes: Routes, gate: Arc<Semaphore>) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut server, handle) = (JoinSet::new(), shutdown.handle());
    server.spawn(async move { zdd_shutdown::serve(listener, routes, &handle).await });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_timeout(Duration::from_secs(5)).connect().await.unwrap();
    Fixture { shutdown, gate, server, channel }
}

async fn probe() -> Fixture {
    let shutdown = quick().embed().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let service = Probe { handle: shutdown.handle(), gate: Arc::clone(&gate) };
    start(shutdown, Routes::new(HealthServer::new(service)), gate).await
}

impl Fixture {
    async fn finish(mut self) -> zdd_shutdown::Report {
        drop(self.channel);
        within(self.server.join_next()).await.unwrap().unwrap().unwrap();
        within(self.shutdown.finish()).await
    }
}

pub(crate) fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn unary_calls_in_flight_all_succeed() {
    let fixture = probe().await;
    let mut calls = JoinSet::new();
    // As many as the server takes on one connection at a time.
    for _ in 0..200 {
        let mut client = HealthClient::new(fixture.channel.clone());
        calls.spawn(async move { client.check(ask("hold")).await });
    }
    until(|| fixture.shutdown.in_flight() >= 200).await;
    fixture.shutdown.trigger(Signal::Interrupt);
    within(fixture.shutdown.draining()).await;
    fixture.gate.add_permits(200);
    while let Some(called) = within(calls.join_next()).await {
        called.unwrap().unwrap();
    }
    let report = fixture.finish().await;
    assert_eq!((report.abandoned, report.exit_code()), (0, 0), "{report}");
}

#[tokio::test]
async fn a_polite_stream_ends_with_unavailable() {
    let fixture = probe().await;
    let mut client = HealthClient::new(fixture.channel.clone());
    let mut stream = client.watch(ask("polite")).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    fixture.shutdown.trigger(Signal::Interrupt);
    let status = within(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "moving"));
    drop((stream, client));
    assert_eq!(fixture.finish().await.exit_code(), 0);
}

/// Adds what a stream brings to what was seen, up to a number of messages or its end.
async fn follow(
    stream: &mut Streaming<HealthCheckResponse>,
    seen: &mut Vec<i32>,
    most: usize,
) -> Option<Status> {
    for _ in 0..most {
        match within(stream.message()).await {
            Ok(message) => seen.push(message.unwrap().status),
            Err(status) => return Some(status),
        }
    }
    None
}

#[tokio::test]
async fn a_client_goes_on_at_another_server_behind_the_last_message_that_it_got() {
    let (old, new) = (probe().await, probe().await);
    let mut seen = vec![0];
    let mut client = HealthClient::new(old.channel.clone());
    let mut stream = client.watch(ask("numbers behind 0")).await.unwrap().into_inner();
    assert!(follow(&mut stream, &mut seen, 20).await.is_none());
    old.shutdown.trigger(Signal::Interrupt);
    let end = follow(&mut stream, &mut seen, usize::MAX).await.unwrap();
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "moving"));
    drop((stream, client));
    assert_eq!(old.finish().await.exit_code(), 0);

    let mut client = HealthClient::new(new.channel.clone());
    let behind = format!("numbers behind {}", seen.last().unwrap());
    let mut stream = client.watch(ask(&behind)).await.unwrap().into_inner();
    assert!(follow(&mut stream, &mut seen, 20).await.is_none());
    // None lost, none twice.
    assert!(
        seen.len() > 40 && seen.iter().copied().eq(0..i32::try_from(seen.len()).unwrap()),
        "{seen:?}"
    );
    drop((stream, client));
    new.shutdown.trigger(Signal::Interrupt);
    assert_eq!(new.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_stream_that_ignores_the_drain_is_cut_and_named() {
    let fixture = probe().await;
    let mut client = HealthClient::new(fixture.channel.clone());
    let mut stream = client.watch(ask("rude")).await.unwrap().into_inner();
    assert!(within(stream.message()).await.unwrap().is_some());
    fixture.shutdown.trigger(Signal::Interrupt);
    assert!(within(stream.message()).await.is_err());
    drop((stream, client));
    let report = fixture.finish().await;
    assert_eq!((report.abandoned, report.exit_code()), (1, 1), "{report}");
    assert!(report.leftovers[0].contains("POST /grpc.health.v1.Health/Watch"), "{report}");
    assert!(report.took < ms(3_000), "{report}");
}

#[tokio::test]
async fn health_is_not_serving_from_the_signal_on_and_still_answers() {
    let lame_duck = LameDuck::fixed(ms(500));
    let shutdown = quick().lame_duck(lame_duck).embed().unwrap();
    let (_, service) = shutdown.grpc_health();
    let fixture = start(shutdown, Routes::new(service), Arc::new(Semaphore::new(0))).await;
    let mut client = HealthClient::new(fixture.channel.clone());
    let mut status = async || within(client.check(ask(""))).await.unwrap().into_inner().status();
    within(async { while status().await != ServingStatus::Serving {} }).await;
    fixture.shutdown.trigger(Signal::Terminate);
    within(fixture.shutdown.lame_duck()).await;
    within(async { while status().await != ServingStatus::NotServing {} }).await;
    assert_eq!(fixture.shutdown.phase(), Phase::LameDuck);
    drop(client);
    assert_eq!(fixture.finish().await.exit_code(), 0);
}

/// Calls one server after the other: whichever `route` names at the moment.
async fn caller(
    route: watch::Receiver<Channel>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Result<(), Status> {
    while !stop.load(Relaxed) {
        let channel = route.borrow().clone();
        HealthClient::new(channel).check(ask("")).await?;
        answered.fetch_add(1, Relaxed);
        tokio::time::sleep(ms(CALL_GAP)).await;
    }
    Ok(())
}

const CALLERS: usize = 50;
/// With 50 callers, about 5 000 calls per second where the machine is quick enough.
const CALL_GAP: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollover_under_unary_calls_fails_none() {
    let lame_duck = LameDuck::adaptive(ms(300), ms(1_000));
    let start = async || {
        let shutdown = quick().lame_duck(lame_duck).quiet(ms(200)).embed().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let service = Probe { handle: shutdown.handle(), gate: Arc::clone(&gate) };
        start(shutdown, Routes::new(HealthServer::new(service)), gate).await
    };
    let (old, new) = (start().await, start().await);
    let route = watch::Sender::new(old.channel.clone());
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller(route.subscribe(), Arc::clone(&stop), Arc::clone(&answered)));
    }
    let answers = async |count: usize| {
        let goal = answered.load(Relaxed) + count;
        until(|| answered.load(Relaxed) >= goal).await;
    };
    answers(2_000).await;
    old.shutdown.trigger(Signal::Terminate);
    // The news that the server ends travels; calls go on coming.
    answers(500).await;
    route.send_replace(new.channel.clone());
    let report = old.finish().await;
    answers(1_000).await;
    stop.store(true, Relaxed);
    while let Some(called) = within(callers.join_next()).await {
        called.unwrap().unwrap();
    }
    assert_eq!((report.abandoned, report.exit_code()), (0, 0), "{report}");
    assert!(report.finished > 0, "calls came after the signal: {report}");
    new.shutdown.trigger(Signal::Interrupt);
    drop(route);
    assert_eq!(new.finish().await.exit_code(), 0);
}
