//! Each way to misbehave is counted under its own cause.

use std::{net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use zdd_load::{Cause, Endpoints, Load, LoadError, Mode};

use crate::server::{load, report, request, reset_on_close, respond, server};

#[track_caller]
fn assert_all(report: &zdd_load::Report, cause: Cause) {
    assert_eq!(report.causes.get(&cause), Some(&3), "wanted {cause}, got {report}");
    assert_eq!((report.sent, report.ok, report.failed), (3, 0, 3), "{report}");
    assert_eq!(report.samples.len(), 3);
}

/// Answers every request with these bytes and closes the connection.
async fn answers(bytes: &'static [u8], cause: Cause) {
    let server = server(async |mut stream: TcpStream| {
        if request(&mut stream).await {
            respond(&mut stream, bytes).await;
        }
    });
    let server = server.await;
    assert_all(&report(load(server.address)).await, cause);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_all(&report(load(address)).await, Cause::ConnectRefused);
}

#[tokio::test]
async fn no_endpoint_at_all() {
    let nothing = Load::new(Endpoints::loopback([]).unwrap()).total(3).connections(1);
    assert_all(&report(nothing).await, Cause::NoEndpoint);
}

#[tokio::test]
async fn a_resolver_that_leaves_loopback_sends_nothing() {
    let outside = SocketAddr::from(([192, 0, 2, 1], 80));
    let load = Load::new(Endpoints::from_fn(move || Some(outside))).total(3).connections(1);
    assert_all(&report(load).await, Cause::ForbiddenAddress);
}

#[tokio::test]
async fn a_full_backlog_is_a_connect_timeout() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // Fill the accept queue until the kernel answers no more.
    let mut queued = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queued.push(connected.unwrap());
        assert!(queued.len() < 64, "the backlog never fills");
    }
    let load = load(address).connect_timeout(Duration::from_millis(200));
    assert_all(&report(load).await, Cause::ConnectTimeout);
}

#[tokio::test]
async fn closed_before_the_response() {
    answers(b"", Cause::ClosedBeforeResponse).await;
}

#[tokio::test]
async fn closed_inside_the_head() {
    answers(b"HTTP/1.1 200 O", Cause::ClosedMidResponse).await;
}

#[tokio::test]
async fn closed_inside_the_body() {
    answers(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Cause::ClosedMidResponse).await;
}

#[tokio::test]
async fn closed_inside_a_chunk() {
    let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhalf";
    answers(half, Cause::ClosedMidResponse).await;
}

#[tokio::test]
async fn closed_before_the_last_chunk() {
    let half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    answers(half, Cause::ClosedMidResponse).await;
}

#[tokio::test]
async fn statuses_count_by_class() {
    answers(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Cause::Http5xx).await;
    answers(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Cause::Http4xx).await;
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    answers(b"SSH-2.0-OpenSSH\r\n\r\n", Cause::Malformed).await;
    answers(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nokokok", Cause::Malformed).await;
    let bad_chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    answers(bad_chunk, Cause::Malformed).await;
}

#[tokio::test]
async fn reset_before_the_response() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        reset_on_close(&stream);
    });
    let server = server.await;
    assert_all(&report(load(server.address)).await, Cause::ResetBeforeResponse);
}

#[tokio::test]
async fn reset_inside_the_response() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        respond(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        reset_on_close(&stream);
    });
    let server = server.await;
    assert_all(&report(load(server.address)).await, Cause::ResetMidResponse);
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_timeout() {
    let server = server(async |mut stream: TcpStream| while request(&mut stream).await {});
    let server = server.await;
    let load = load(server.address).request_timeout(Duration::from_millis(50));
    assert_all(&report(load).await, Cause::Timeout);
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_timeout() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
        respond(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        request(&mut stream).await;
    });
    let server = server.await;
    let load = load(server.address).request_timeout(Duration::from_millis(50));
    assert_all(&report(load).await, Cause::Timeout);
}

#[tokio::test]
async fn fresh_connections_fail_by_the_same_causes() {
    let server = server(async |mut stream: TcpStream| {
        request(&mut stream).await;
    });
    let server = server.await;
    let fresh = report(load(server.address).mode(Mode::Fresh)).await;
    assert_all(&fresh, Cause::ClosedBeforeResponse);
    assert_eq!(fresh.connections.failed_on_reused, 0);
}

#[test]
fn a_load_without_a_runtime_is_a_typed_error() {
    let load = load(SocketAddr::from(([127, 0, 0, 1], 1)));
    assert_eq!(load.start().unwrap_err(), LoadError::NoRuntime);
}

#[tokio::test]
async fn bad_settings_are_typed_errors() {
    let base = || load(SocketAddr::from(([127, 0, 0, 1], 1)));
    for (bad, setting) in [
        (base().rate(0), "rate"),
        (base().connections(0), "connections"),
        (base().total(0), "total"),
    ] {
        assert_eq!(bad.start().unwrap_err(), LoadError::Zero { setting });
    }
    for bad in [
        base().path("no-slash"),
        base().path("/a b"),
        base().path("/\r\nx: y"),
        base().host("a\nb"),
        base().header("x y", "z"),
        base().header("x", "y\r\n"),
        base().label_header(""),
    ] {
        assert!(matches!(bad.start(), Err(LoadError::BadCharacter { .. })));
    }
}
