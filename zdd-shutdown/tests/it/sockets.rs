//! Connections that have left HTTP: upgrades, and WebSockets over both versions.

use zdd_shutdown::Phase;

use crate::{
    frames::{DATA, Frames, WINDOW_UPDATE, two_goaways},
    raw::{Client, until},
    site::{CLOSE_1001, MESSAGE, MESSAGE_HEAD, Site, ms, quick},
};

/// What a client answers to Close: the same, masked.
const CLOSED: [u8; 8] = [0x88, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xE9];

async fn upgraded(site: &Site, manners: &str) -> Client {
    let mut client = Client::connect(site.address).await;
    let request = format!(
        "GET /upgrade/{manners} HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n"
    );
    client.send(request).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("http/1.1 101") && !head.contains("close"), "{head}");
    client
}

#[tokio::test]
async fn an_upgraded_connection_says_goodbye_and_is_waited_for() {
    let site = Site::start(quick()).await;
    let mut client = upgraded(&site, "polite").await;
    site.trigger();
    site.reaches(Phase::Closing).await;
    assert_eq!(site.handle.connections(), 1);
    site.gate.add_permits(1);
    assert_eq!(client.take(3).await.unwrap(), b"bye");
    client.closed().await.unwrap();
    drop(client);
    let report = site.finish().await;
    assert_eq!((report.connections.closed, report.exit_code()), (1, 0), "{report}");
}

#[tokio::test]
async fn an_upgraded_connection_that_ignores_everything_is_cut_and_named() {
    let site = Site::start(quick()).await;
    let mut client = upgraded(&site, "rude").await;
    site.trigger();
    client.closed().await.unwrap();
    let report = site.finish().await;
    assert!(report.leftovers[0].starts_with("upgraded connection 127.0.0.1"), "{report}");
    assert_eq!(report.exit_code(), 1);
    assert!(report.took < ms(3_000), "{report}");
}

/// The server runs beside, as in a program that joins it later or never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_not_written_before_what_was_cut_is_counted() {
    for _ in 0..10 {
        let site = Site::start(quick().deadline(ms(400))).await;
        let mut client = upgraded(&site, "rude").await;
        site.trigger();
        let report = site.finish_beside().await;
        assert_eq!((report.connections.aborted, report.exit_code()), (1, 1), "{report}");
        client.closed().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_upgraded_connections_with_it() {
    let site = Site::start(quick()).await;
    let mut client = upgraded(&site, "rude").await;
    let handle = site.drop_server().await;
    client.closed().await.unwrap();
    until(|| handle.connections() == 0).await;
}

#[tokio::test]
async fn a_web_socket_gets_its_message_to_the_end_and_close_1001() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    let request = "GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(request).await;
    assert!(client.head().await.unwrap().starts_with("http/1.1 101"));
    // The frame is under way, and stays so until somebody reads it.
    assert_eq!(client.take(10).await.unwrap(), MESSAGE_HEAD);
    site.trigger();
    site.reaches(Phase::Closing).await;
    assert_eq!(site.handle.connections(), 1);
    assert!(client.take(MESSAGE).await.unwrap().iter().all(|byte| *byte == b'x'));
    assert_eq!(client.take(4).await.unwrap(), CLOSE_1001);
    assert_eq!(site.handle.connections(), 1);
    client.send(CLOSED).await;
    client.closed().await.unwrap();
    drop(client);
    let report = site.finish().await;
    assert_eq!((report.connections.closed, report.exit_code()), (1, 0), "{report}");
}

async fn connect_http2() -> (Site, Frames) {
    let change = |server: zdd_shutdown::Server| {
        server.http2(|builder| {
            builder.enable_connect_protocol();
        })
    };
    let site = Site::start_with(quick(), change).await;
    let client = Frames::connect(site.address).await;
    (site, client)
}

#[tokio::test]
async fn a_web_socket_over_http2_is_waited_for() {
    let (site, mut client) = connect_http2().await;
    client.extended_connect(1, "/upgrade/polite").await;
    let head = client.next().await.unwrap();
    assert!(head.is_ok(), "{head:?}");
    site.trigger();
    assert_eq!(two_goaways(&mut client).await, 1);
    site.reaches(Phase::Closing).await;
    // Longer than the PONG cap: the stream protects the connection.
    tokio::time::sleep(ms(500)).await;
    site.gate.add_permits(1);
    let goodbye = client.next().await.unwrap();
    assert_eq!(goodbye.payload, b"bye");
    drop(client);
    let report = site.finish().await;
    assert_eq!((report.connections.aborted, report.exit_code()), (0, 0), "{report}");
}

#[tokio::test]
async fn a_web_socket_over_http2_gets_its_message_to_the_end_and_close_1001() {
    let (site, mut client) = connect_http2().await;
    client.extended_connect(1, "/socket").await;
    assert!(client.next().await.unwrap().is_ok());
    let mut received = client.next().await.unwrap().payload;
    assert_eq!(received[..10], MESSAGE_HEAD);
    // Nothing more comes than the window allows, which is not opened before the process drains.
    site.trigger();
    loop {
        let frame = client.next().await.unwrap();
        if frame.kind != DATA {
            client.goes_away(frame).await;
            break;
        }
        received.extend(frame.payload);
    }
    site.reaches(Phase::Closing).await;
    assert_eq!(site.handle.connections(), 1);
    let window = u32::try_from(2 * MESSAGE).unwrap().to_be_bytes();
    client.send(WINDOW_UPDATE, 0, 0, &window).await;
    client.send(WINDOW_UPDATE, 0, 1, &window).await;
    while received.len() < MESSAGE_HEAD.len() + MESSAGE + CLOSE_1001.len() {
        let frame = client.next().await.unwrap();
        if frame.kind == DATA {
            received.extend(frame.payload);
        }
    }
    assert_eq!(received[MESSAGE_HEAD.len() + MESSAGE..], CLOSE_1001);
    assert!(received[MESSAGE_HEAD.len()..][..MESSAGE].iter().all(|byte| *byte == b'x'));
    client.send(DATA, 0, 1, &CLOSED).await;
    let rest = client.closed().await.unwrap();
    assert!(rest.iter().any(|frame| frame.kind == DATA && frame.ends_stream()), "{rest:?}");
    let report = site.finish().await;
    assert_eq!((report.connections.aborted, report.exit_code()), (0, 0), "{report}");
}
