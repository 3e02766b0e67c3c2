//! Open-loop arrival, bounds, stop, and the live counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{net::TcpStream, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::server::{OK, Server, load, report, request, respond, server};

async fn good() -> Server {
    let good = server(async |mut stream: TcpStream| {
        while request(&mut stream).await {
            respond(&mut stream, OK).await;
        }
    });
    good.await
}

/// Answers nothing before the gate has permits.
async fn gated(gate: Arc<Semaphore>) -> Server {
    let gated = server(move |mut stream: TcpStream| {
        let gate = Arc::clone(&gate);
        async move {
            while request(&mut stream).await {
                gate.acquire().await.unwrap().forget();
                respond(&mut stream, OK).await;
            }
        }
    });
    gated.await
}

#[tokio::test]
async fn the_rate_is_kept() {
    let server = good().await;
    let report = report(load(server.address).connections(20).rate(500).total(250)).await;
    assert_eq!(report.ok, 250);
    // The last ticket is due at 498 ms; only "earlier" would be wrong on a loaded machine.
    assert!(report.elapsed_ms >= 498, "{report:?}");
}

#[tokio::test]
async fn a_request_that_waited_for_a_free_connection_counts_from_when_it_was_due() {
    let gate = Arc::new(Semaphore::new(0));
    let server = gated(Arc::clone(&gate)).await;
    let running = load(server.address).rate(1_000).total(10).start().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.add_permits(10);
    let report = running.finish().await;
    assert_eq!(report.ok, 10);
    // All ten were due within 10 ms and answered after 200 ms.
    assert!(report.latency_us.p50 >= 180_000, "{report:?}");
}

#[tokio::test]
async fn stop_lets_requests_in_flight_end() {
    let gate = Arc::new(Semaphore::new(0));
    let server = gated(Arc::clone(&gate)).await;
    let running = load(server.address).connections(5).rate(1_000).total(1_000).start().unwrap();
    while running.snapshot().in_flight() < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stopping = running.stop();
    gate.add_permits(1_000);
    let report = stopping.await;
    assert_eq!((report.ok, report.failed), (report.sent, 0), "{report}");
    assert!(report.sent < 1_000, "{report}");
}

#[tokio::test]
async fn the_token_stops_the_load() {
    let server = good().await;
    let token = CancellationToken::new();
    let load = load(server.address).rate(10).total(1_000).cancel_with(token.clone());
    let running = load.start().unwrap();
    while running.snapshot().ok == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    token.cancel();
    let report = running.finish().await;
    assert_eq!(report.ok, report.sent);
    assert!(report.sent < 1_000);
}

#[tokio::test]
async fn time_bounds_the_load() {
    let server = good().await;
    let load = load(server.address).rate(1_000).total(u64::MAX).connections(4);
    let report = report(load.max_duration(Duration::from_millis(100))).await;
    assert_eq!(report.sent, 100, "{report}");
}

#[tokio::test]
async fn the_callback_and_the_meter_see_every_outcome() {
    let server = good().await;
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let load = load(server.address).total(50).rate(2_000).on_outcome(move |outcome| {
        assert_eq!(outcome.status, Some(200));
        count.fetch_add(1, Relaxed);
    });
    let running = load.start().unwrap();
    let meter = running.meter();
    let report = running.finish().await;
    assert_eq!((seen.load(Relaxed), report.ok, meter.snapshot().ok), (50, 50, 50));
}

#[tokio::test]
async fn the_report_serialises_as_documented() {
    let server = good().await;
    let report = report(load(server.address)).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((json["sent"].as_u64(), json["failed"].as_u64()), (Some(3), Some(0)));
    assert_eq!(json["causes"], serde_json::json!({}));
    assert_eq!(serde_json::from_value::<zdd_load::Report>(json).unwrap(), report);
}
