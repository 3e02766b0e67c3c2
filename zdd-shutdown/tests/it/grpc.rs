//! tonic's services in the serve loop.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tonic::{
    Code, Request, Response, Status,
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
    raw::within,
    site::{ms, quick},
};

type Replies = Pin<Box<dyn futures::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

/// A service with a unary call and two kinds of streams, in the shape of the
/// health service, which saves a code generator.
#[derive(Clone)]
struct Probe {
    handle: ShutdownHandle,
    gate: Arc<Semaphore>,
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

fn ask(service: &str) -> HealthCheckRequest {
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
    within(async {
        while fixture.shutdown.in_flight() < 200 {
            tokio::time::sleep(ms(1)).await;
        }
    })
    .await;
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
