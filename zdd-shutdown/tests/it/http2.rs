//! HTTP/2: the two GOAWAYs, and clients that do not play along.

use std::collections::HashSet;

use crate::{
    frames::{DATA, Frames, GOAWAY, PING, two_goaways},
    raw::{Client, until, within},
    site::{Site, ms, quick},
};
use tokio::time::Instant;

/// Waits for a number of handlers to have begun.
async fn in_flight(site: &Site, count: usize) {
    until(|| site.handle.in_flight() >= count).await;
}

#[tokio::test]
async fn every_stream_up_to_the_last_id_completes() {
    let site = Site::start(quick()).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Frames::connect(site.address).await;
        for number in 0..100 {
            client.get(2 * number + 1, "/hold").await;
        }
        clients.push(client);
    }
    in_flight(&site, 1_000).await;
    site.trigger();
    for client in &mut clients {
        assert_eq!(two_goaways(client).await, 199);
    }
    site.gate.add_permits(1_000);
    for client in &mut clients {
        let (mut heads, mut ended) = (0, HashSet::new());
        while ended.len() < 100 {
            let frame = client.next().await.unwrap();
            heads += usize::from(frame.is_ok());
            if frame.ends_stream() {
                assert!(ended.insert(frame.stream));
            }
        }
        assert_eq!(heads, 100);
    }
    for client in clients {
        client.closed().await.unwrap();
    }
    let report = site.finish().await;
    assert_eq!((report.finished, report.abandoned, report.exit_code()), (1_000, 0, 0), "{report}");
}

#[tokio::test]
async fn a_stream_that_crosses_the_first_goaway_is_served() {
    let site = Site::start(quick()).await;
    let mut client = Frames::connect(site.address).await;
    client.get(1, "/").await;
    assert!(client.next().await.unwrap().is_ok());
    assert!(client.next().await.unwrap().ends_stream());
    site.trigger();
    assert_eq!(client.next().await.unwrap().last_stream(), (1 << 31) - 1);
    let ping = client.next().await.unwrap();
    // Sent before the client could know: it does not answer the PING first.
    client.get(3, "/").await;
    client.pong(&ping).await;
    let (mut served, mut last) = (false, None);
    while !served || last.is_none() {
        let frame = client.next().await.unwrap();
        served |= frame.stream == 3 && frame.ends_stream();
        if frame.kind == GOAWAY {
            last = Some(frame.last_stream());
        }
    }
    assert_eq!(last, Some(3));
    drop(client);
    assert_eq!(site.finish().await.exit_code(), 0);
}

/// What a client on the h2 crate does with streams that it has queued when GOAWAY comes.
#[tokio::test]
async fn streams_that_come_behind_the_answer_to_the_ping_are_served() {
    let site = Site::start(quick()).await;
    let mut client = Frames::connect(site.address).await;
    client.get(1, "/").await;
    while !client.next().await.unwrap().ends_stream() {}
    site.trigger();
    assert_eq!(client.next().await.unwrap().last_stream(), (1 << 31) - 1);
    let ping = client.next().await.unwrap();
    client.pong(&ping).await;
    for stream in [3, 5, 7] {
        client.get(stream, "/").await;
    }
    let (mut served, mut last) = (0, None);
    while served < 3 || last.is_none() {
        let frame = client.next().await.unwrap();
        served += u32::from(frame.ends_stream());
        if frame.kind == GOAWAY {
            last = Some(frame.last_stream());
        }
    }
    assert_eq!(last, Some(7));
    drop(client);
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_streams_with_it() {
    let site = Site::start(quick()).await;
    let mut client = Frames::connect(site.address).await;
    client.get(1, "/hold").await;
    client.get(3, "/endless").await;
    in_flight(&site, 2).await;
    let handle = site.drop_server().await;
    until(|| handle.in_flight() + handle.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_never_answers_the_ping_is_dropped_after_the_cap() {
    let site = Site::start(quick()).await;
    let client = Frames::connect(site.address).await;
    site.trigger();
    let began = Instant::now();
    let seen = client.closed().await.unwrap();
    let took = Instant::now() - began;
    let kinds: Vec<_> = seen.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [GOAWAY, PING]);
    assert!(took >= ms(300) && took < ms(700), "{took:?}");
    let report = site.finish().await;
    assert_eq!((report.connections.cut, report.exit_code()), (1, 0), "{report}");
}

#[tokio::test]
async fn a_running_stream_completes_before_the_cap_counts() {
    let site = Site::start(quick()).await;
    let mut client = Frames::connect(site.address).await;
    client.get(1, "/hold").await;
    within(site.entered.notified()).await;
    site.trigger();
    tokio::time::sleep(ms(800)).await;
    site.gate.add_permits(1);
    let seen = client.closed().await.unwrap();
    assert!(seen.iter().any(|frame| frame.kind == DATA && frame.ends_stream()), "{seen:?}");
    assert_eq!(site.finish().await.abandoned, 0);
}

#[tokio::test]
async fn a_preface_without_settings_is_dropped_after_the_cap() {
    let site = Site::start(quick()).await;
    let client = Frames::preface(site.address).await;
    let mut half = Client::connect(site.address).await;
    half.send("PRI * HTTP/2.0\r\n").await;
    until(|| site.handle.connections() >= 2).await;
    site.trigger();
    client.closed().await.unwrap();
    half.closed().await.unwrap();
    let report = site.finish().await;
    assert!(report.took < ms(1_500), "{report}");
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn both_protocols_drain_on_one_port() {
    let site = Site::start(quick()).await;
    let mut one = Client::connect(site.address).await;
    let mut two = Frames::connect(site.address).await;
    one.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    two.get(1, "/hold").await;
    in_flight(&site, 2).await;
    site.trigger();
    assert_eq!(two_goaways(&mut two).await, 1);
    site.gate.add_permits(2);
    assert!(one.response().await.unwrap().closes());
    let head = two.next().await.unwrap();
    assert!(head.is_ok() && !head.payload.windows(5).any(|window| window == b"close"));
    drop((one, two));
    let report = site.finish().await;
    assert_eq!((report.finished, report.exit_code()), (2, 0), "{report}");
}
