//! Connections are reused, and given up when the server says so.

use std::sync::Arc;

use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};
use zdd_load::{Cause, Endpoints, Mode};

use crate::server::{OK, load, report, request, reset_on_close, respond, server};

#[tokio::test]
async fn one_connection_carries_all_requests() {
    let server = server(async |mut stream: TcpStream| {
        while request(&mut stream).await {
            respond(&mut stream, OK).await;
        }
    });
    let server = server.await;
    let report = report(load(server.address).total(20)).await;
    assert_eq!((report.ok, report.connections.opened), (20, 1), "{report}");
}

#[tokio::test]
async fn fresh_mode_opens_one_connection_per_request() {
    let server = server(async |mut stream: TcpStream| {
        while request(&mut stream).await {
            respond(&mut stream, OK).await;
        }
    });
    let server = server.await;
    let report = report(load(server.address).mode(Mode::Fresh).total(20).connections(4)).await;
    assert_eq!((report.ok, report.connections.opened), (20, 20), "{report}");
}

#[tokio::test]
async fn connection_close_is_honoured_and_is_no_failure() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        respond(&mut stream, close).await;
        // A second request on this connection would be lost.
        request(&mut stream).await;
    });
    let server = server.await;
    let report = report(load(server.address)).await;
    assert_eq!((report.ok, report.connections.told_to_close), (3, 3), "{report}");
    assert_eq!(report.connections.opened, 3);
}

#[tokio::test]
async fn a_connection_closed_between_requests_loses_nothing() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        respond(&mut stream, OK).await;
    });
    let server = server.await;
    let report = report(load(server.address).rate(20)).await;
    assert_eq!((report.ok, report.connections.opened), (3, 3), "{report}");
    // The last one may still be open to the client when the run ends.
    assert!(report.connections.closed_idle >= 2, "{report:?}");
    assert_eq!(report.connections.reset_idle, 0);
}

#[tokio::test]
async fn a_connection_reset_between_requests_is_counted_apart() {
    let answered = Arc::new(Notify::new());
    let told = Arc::clone(&answered);
    let server = server(move |mut stream: TcpStream| {
        let answered = Arc::clone(&answered);
        async move {
            request(&mut stream).await;
            respond(&mut stream, OK).await;
            // Only once the client has the response is the connection idle.
            answered.notified().await;
            reset_on_close(&stream);
        }
    });
    let server = server.await;
    let load = load(server.address).rate(20).on_outcome(move |_| told.notify_one());
    let report = report(load).await;
    assert_eq!((report.ok, report.connections.opened), (3, 3), "{report}");
    assert!(report.connections.reset_idle >= 2, "{report:?}");
}

#[tokio::test]
async fn a_request_lost_on_a_reused_connection_says_so() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        respond(&mut stream, OK).await;
        // Takes the second request and never answers it.
        request(&mut stream).await;
    });
    let server = server.await;
    let report = report(load(server.address).total(4)).await;
    assert_eq!(report.causes.get(&Cause::ClosedBeforeResponse), Some(&2), "{report}");
    assert_eq!(report.connections.failed_on_reused, 2);
    assert!(report.samples.iter().all(|sample| sample.reused));
}

#[tokio::test]
async fn chunked_and_interim_and_endless_framings_are_read_to_the_end() {
    const PARTS: [&[u8]; 3] = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nt: v\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ];
    let server = server(async |mut stream: TcpStream| {
        for part in PARTS {
            if !request(&mut stream).await {
                return;
            }
            // One byte per segment: every place where a read can end is tried.
            for byte in part {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let server = server.await;
    let report = report(load(server.address).total(6)).await;
    assert_eq!((report.ok, report.connections.opened), (6, 2), "{report}");
}

#[tokio::test]
async fn a_replaced_endpoint_moves_new_connections_only() {
    let answer = async |mut stream: TcpStream, bytes: &'static [u8]| {
        while request(&mut stream).await {
            respond(&mut stream, bytes).await;
        }
    };
    let old = server(move |stream| {
        answer(stream, b"HTTP/1.1 200 OK\r\nx-version: old\r\ncontent-length: 0\r\n\r\n")
    });
    let new = server(move |stream| {
        answer(stream, b"HTTP/1.1 200 OK\r\nx-version: new\r\ncontent-length: 0\r\n\r\n")
    });
    let (old, new) = (old.await, new.await);
    let endpoints = Endpoints::loopback([old.address]).unwrap();
    let load = zdd_load::Load::new(endpoints.clone()).label_header("X-Version").connections(1);
    let pinned = load.clone().total(40).rate(200).start().unwrap();
    while pinned.snapshot().ok == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    endpoints.replace([new.address]).unwrap();
    let pinned = pinned.finish().await;
    assert_eq!(pinned.labels.get("old"), Some(&40), "{pinned:?}");
    let moved = load.total(5).start().unwrap().finish().await;
    assert_eq!(moved.labels.get("new"), Some(&5), "{moved:?}");
}

#[tokio::test]
async fn spread_sources_gives_each_connection_an_address_of_its_own() {
    let (seen, mut sources) = tokio::sync::mpsc::unbounded_channel();
    let server = server(move |mut stream: TcpStream| {
        seen.send(stream.peer_addr().unwrap().ip()).unwrap();
        async move {
            while request(&mut stream).await {
                respond(&mut stream, OK).await;
            }
        }
    });
    let server = server.await;
    // A second load goes on where the first has ended.
    for _ in 0..2 {
        let load = load(server.address).mode(Mode::Fresh).total(20).connections(4);
        assert_eq!(report(load.spread_sources()).await.ok, 20);
    }
    let mut addresses = std::collections::BTreeSet::new();
    while let Ok(address) = sources.try_recv() {
        assert!(address.to_string().starts_with("127.1."), "{address}");
        addresses.insert(address);
    }
    assert_eq!(addresses.len(), 40);
}
