//! HTTP/2: streams share a connection, and GOAWAY moves them.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, server};
use http::Response;
use tokio::net::TcpStream;
use zdd_load::{Cause, Load, Mode};

use crate::server::{Server, load, report, server};

fn http2(server: &Server) -> Load {
    load(server.address).mode(Mode::Http2 { streams: 10 }).rate(1_000).total(200)
}

/// Answers `200 ok` to one stream.
fn answer(mut respond: server::SendResponse<Bytes>) {
    let response = Response::builder().header("x-version", "v2").body(()).unwrap();
    let mut body = respond.send_response(response, false).unwrap();
    body.send_data(Bytes::from_static(b"ok"), true).unwrap();
}

#[tokio::test]
async fn all_streams_share_one_connection() {
    let server = server(async |stream: TcpStream| {
        let mut connection = server::handshake(stream).await.unwrap();
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond);
        }
    });
    let server = server.await;
    let report = report(http2(&server).label_header("x-version")).await;
    assert_eq!((report.ok, report.connections.opened), (200, 1), "{report}");
    assert_eq!(report.labels.get("v2"), Some(&200));
}

#[tokio::test]
async fn a_two_step_goaway_moves_streams_and_loses_none() {
    let server = server(async |stream: TcpStream| {
        let mut connection = server::handshake(stream).await.unwrap();
        let mut served = 0;
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond);
            served += 1;
            if served == 50 {
                connection.graceful_shutdown();
            }
        }
    });
    let server = server.await;
    let report = report(http2(&server)).await;
    assert_eq!(report.ok, 200, "{report}");
    assert!(report.connections.opened >= 3, "{report:?}");
    assert_eq!(report.connections.opened, report.connections.told_to_close + 1, "{report:?}");
}

/// Ends a call with a status in its trailers, or with none.
fn end_call(mut respond: server::SendResponse<Bytes>, status: Option<&'static str>) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    match status.map(http::HeaderValue::from_static) {
        Some(status) => {
            body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
            let trailers = [(http::HeaderName::from_static("grpc-status"), status)];
            body.send_trailers(trailers.into_iter().collect()).unwrap();
        }
        None => body.send_data(Bytes::from_static(&[0; 5]), true).unwrap(),
    }
}

#[tokio::test]
async fn a_call_is_ok_only_if_its_grpc_status_is() {
    for (status, cause) in
        [(Some("0"), None), (Some("14"), Some(Cause::GrpcStatus)), (None, Some(Cause::Malformed))]
    {
        let server = server(move |stream: TcpStream| async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((_, respond))) = connection.accept().await {
                end_call(respond, status);
            }
        });
        let server = server.await;
        let report = report(http2(&server).total(5)).await;
        let failed = cause.map_or(0, |cause| report.causes[&cause]);
        assert_eq!((report.ok, report.failed), (5 - failed, failed), "{report}");
        assert_eq!(failed > 0, cause.is_some(), "{report}");
    }
}

#[tokio::test]
async fn a_reset_stream_and_a_refused_stream_are_told_apart() {
    for (reason, cause) in [
        (Reason::INTERNAL_ERROR, Cause::StreamReset),
        (Reason::REFUSED_STREAM, Cause::StreamRefused),
    ] {
        let server = server(move |stream: TcpStream| async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(reason);
            }
        });
        let server = server.await;
        let report = report(http2(&server).total(5)).await;
        assert_eq!(report.causes.get(&cause), Some(&5), "{report}");
    }
}

#[tokio::test]
async fn an_abrupt_goaway_loses_the_streams_that_were_sent() {
    let server = server(async |stream: TcpStream| {
        let mut connection = server::handshake(stream).await.unwrap();
        let first = connection.accept().await;
        connection.abrupt_shutdown(Reason::NO_ERROR);
        drop(first);
        while connection.accept().await.is_some() {}
    });
    let server = server.await;
    let report = report(http2(&server).total(5)).await;
    assert_eq!(report.ok, 0, "{report}");
    assert_eq!(report.failed, 5, "{report}");
}

#[tokio::test]
async fn a_connection_that_ends_fails_each_of_its_streams() {
    let server = server(async |stream: TcpStream| {
        let mut connection = server::handshake(stream).await.unwrap();
        let mut held = Vec::new();
        while held.len() < 5 {
            held.push(connection.accept().await);
        }
    });
    let server = server.await;
    let load = http2(&server).total(5).request_timeout(Duration::from_secs(5));
    let report = report(load).await;
    let lost = [Cause::ClosedBeforeResponse, Cause::ResetBeforeResponse];
    assert_eq!(
        lost.iter().filter_map(|cause| report.causes.get(cause)).sum::<u64>(),
        5,
        "{report}"
    );
}
