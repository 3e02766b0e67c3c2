//! HTTP/1 connections in every state in which a shutdown can meet them.

use std::{io, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};
use zdd_shutdown::{IdleClose, LameDuck, Phase};

use crate::{
    raw::{Client, block_until, until, within},
    site::{Site, ms, quick},
};

/// Measures how long a wait takes.
async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (Instant::now() - start, output)
}

#[tokio::test]
async fn idle_connections_are_closed_with_fin_after_the_sweep() {
    let site = Site::start(quick()).await;
    let mut clients = Vec::new();
    for _ in 0..500 {
        let mut client = Client::connect(site.address).await;
        assert!(!client.get("/").await.unwrap().closes());
        clients.push(client);
    }
    assert_eq!(site.handle.connections(), 500);
    site.trigger();
    for client in &mut clients {
        client.closed().await.unwrap();
    }
    let report = site.finish().await;
    assert!(report.took >= ms(100) && report.took < ms(1_100), "{report}");
    assert_eq!((report.connections.closed, report.exit_code()), (500, 0), "{report}");
}

#[tokio::test]
async fn a_connection_that_waits_for_its_peer_stays_open_and_serves() {
    let site = Site::start(quick().idle_close(IdleClose::WaitForPeer)).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.trigger();
    site.reaches(Phase::Closing).await;
    tokio::time::sleep(ms(300)).await;
    assert!(client.get("/").await.unwrap().closes());
    client.closed().await.unwrap();
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_request_that_arrives_while_the_server_is_paused_beats_the_sweep() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.trigger();
    site.reaches(Phase::Draining).await;
    // The server shares this thread: it stands still beyond the sweep, while
    // the request comes to lie in its socket.
    std::thread::sleep(ms(150));
    client.io.try_write(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    std::thread::sleep(ms(50));
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.closes()), (200, true));
    client.closed().await.unwrap();
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_asks_to_close() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    site.trigger();
    site.reaches(Phase::Closing).await;
    site.gate.add_permits(1);
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.closes()), (200, true));
    client.closed().await.unwrap();
    let report = site.finish().await;
    assert_eq!((report.finished, report.abandoned, report.exit_code()), (1, 0, 0), "{report}");
}

#[tokio::test]
async fn a_request_that_never_ends_is_abandoned_and_named() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    site.trigger();
    let report = site.finish().await;
    assert_eq!((report.abandoned, report.connections.aborted, report.exit_code()), (1, 1, 1));
    assert!(report.leftovers[0].contains("last request GET /hold"), "{report}");
    assert!(report.took < ms(3_000), "{report}");
}

#[tokio::test]
async fn a_slow_reader_gets_all_of_a_big_response() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /big HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.contains("content-length: 10485760"), "{head}");
    site.trigger();
    let mut left = 10 * 1024 * 1024;
    while left > 0 {
        left -= client.take(left.min(1024 * 1024)).await.unwrap().len();
        tokio::time::sleep(ms(100)).await;
    }
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /big HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.head().await.unwrap();
    site.trigger();
    let report = site.finish().await;
    assert_eq!((report.connections.cut, report.connections.aborted), (1, 0), "{report}");
    assert!(report.took < ms(1_500), "{report}");
}

#[tokio::test]
async fn an_early_answer_to_a_big_upload_is_not_destroyed_by_a_reset() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.get("/").await.unwrap();
    site.trigger();
    site.reaches(Phase::Draining).await;
    let (mut reader, mut writer) = client.io.into_split();
    let upload = async {
        use tokio::io::AsyncWriteExt;
        let head = "POST /refuse HTTP/1.1\r\nhost: test\r\ncontent-length: 52428800\r\n\r\n";
        writer.write_all(head.as_bytes()).await?;
        // The server may close before all is sent; what counts is the answer.
        for _ in 0..50 {
            writer.write_all(&[0; 1024 * 1024]).await?;
        }
        io::Result::Ok(())
    };
    let answer = async {
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.map(|_| answer)
    };
    let (_, answer) = within(async { tokio::join!(upload, answer) }).await;
    let answer = String::from_utf8(answer.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_fresh_connection_gets_its_grace() {
    // The default, which the short deadline of these tests allows.
    let site = Site::start(quick().first_request_grace(ms(500))).await;
    let mut client = Client::connect(site.address).await;
    until(|| site.handle.connections() > 0).await;
    site.trigger();
    tokio::time::sleep(ms(200)).await;
    assert!(client.get("/").await.unwrap().closes());
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_connection_that_stays_silent_is_closed_with_fin_after_the_grace() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    until(|| site.handle.connections() > 0).await;
    site.trigger();
    let (took, closed) = timed(client.closed()).await;
    closed.unwrap();
    assert!(took >= ms(180) && took < ms(600), "{took:?}");
    drop(client);
    let report = site.finish().await;
    assert!(report.took < ms(1_000), "{report}");
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn connections_in_the_accept_queue_are_served() {
    let site = Site::start(quick()).await;
    // The server shares this thread, which blocks while clients connect; then
    // the close of the listener meets a hundred of them in the queue.
    let clients: Vec<_> = (0..100)
        .map(|_| {
            use std::io::Write;
            let mut client = std::net::TcpStream::connect(site.address).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
            client
        })
        .collect();
    site.trigger();
    block_until(|| site.handle.phase() >= Phase::Closing);
    let mut served = 0;
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let mut io = TcpStream::from_std(client).unwrap();
        let mut answer = Vec::new();
        within(io.read_to_end(&mut answer)).await.unwrap();
        served += usize::from(answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(served, 100);
    let report = site.finish().await;
    assert_eq!((report.connections.rescued, report.exit_code()), (100, 0), "{report}");
}

#[tokio::test]
async fn a_new_connection_is_served_or_refused_in_every_phase() {
    let lame_duck = LameDuck::fixed(ms(300));
    let site = Site::start(quick().lame_duck(lame_duck)).await;
    let mut holder = Client::connect(site.address).await;
    holder.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    site.handle.trigger(zdd_shutdown::Signal::Terminate);
    let (mut served, mut refused) = (0, 0);
    while refused < 5 {
        match tokio::time::timeout(ms(1_000), TcpStream::connect(site.address)).await.unwrap() {
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                refused += 1;
            }
            Ok(io) => {
                assert_eq!(refused, 0, "accepted again");
                let (took, response) = timed(Client::from(io).get("/")).await;
                assert_eq!(response.unwrap().status, 200);
                assert!(took < ms(1_000), "{took:?}");
                served += 1;
            }
        }
        tokio::time::sleep(ms(20)).await;
        if site.handle.phase() == Phase::Draining {
            site.gate.add_permits(1);
        }
    }
    assert!(served > 5, "{served}");
    assert_eq!(holder.response().await.unwrap().status, 200);
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn heads_that_trickle_are_cut_and_others_unharmed() {
    let site = Site::start(quick()).await;
    let mut holder = Client::connect(site.address).await;
    holder.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(site.address).await;
        client.send("GET / HTTP/1.1\r\n").await;
        slow.push(client);
    }
    until(|| site.handle.connections() >= 101).await;
    site.trigger();
    let began = Instant::now();
    // More often than once a second, since each byte looks like progress, until the server has had
    // enough.
    let mut first = None;
    while !slow.is_empty() && Instant::now() - began < ms(2_500) {
        slow.retain_mut(|client| client.io.try_write(b"x").is_ok());
        if slow.len() < 100 {
            first.get_or_insert(Instant::now() - began);
        }
        tokio::time::sleep(ms(50)).await;
    }
    assert!(slow.is_empty(), "{} still open", slow.len());
    assert!(Instant::now() - began < ms(1_500));
    assert!(first.unwrap() >= ms(300), "before their time: {first:?}");
    site.gate.add_permits(1);
    assert_eq!(holder.response().await.unwrap().status, 200);
    let report = site.finish().await;
    assert_eq!((report.connections.cut, report.exit_code()), (100, 0), "{report}");
    assert!(report.took < report.deadline, "{report}");
}

/// The limit of a head is none for the time between two requests.
#[tokio::test]
async fn a_head_that_trickles_is_cut_while_the_process_serves_and_idle_connections_are_not() {
    let site = Site::start_with(quick(), |server| server.patience(ms(300))).await;
    let mut idle = Client::connect(site.address).await;
    idle.get("/").await.unwrap();
    let (mut first, mut second) =
        (Client::connect(site.address).await, Client::connect(site.address).await);
    second.get("/").await.unwrap();
    let began = Instant::now();
    for client in [&mut first, &mut second] {
        client.send("GET / HTTP/1.1\r\nx-slow: ").await;
    }
    let mut trickling = vec![first, second];
    while !trickling.is_empty() {
        trickling.retain_mut(|client| {
            let open = client.io.try_write(b"x").is_ok();
            assert!(open || Instant::now() - began >= ms(300), "before its time");
            open
        });
        tokio::time::sleep(ms(50)).await;
        assert!(Instant::now() - began < ms(2_000), "{} still open", trickling.len());
    }
    // Four times as long, and it still serves.
    tokio::time::sleep(ms(1_200)).await;
    assert!(!idle.get("/").await.unwrap().closes());
    drop(idle);
    site.trigger();
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn an_upload_that_moves_is_finished_and_one_that_stalls_is_cut() {
    let site = Site::start(quick()).await;
    let (mut moving, mut stalled) =
        (Client::connect(site.address).await, Client::connect(site.address).await);
    for client in [&mut moving, &mut stalled] {
        client.send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n0").await;
        within(site.entered.notified()).await;
    }
    site.trigger();
    for byte in 1..10 {
        // Longer in all than a stall may last, shorter each time.
        tokio::time::sleep(ms(100)).await;
        moving.send(byte.to_string()).await;
    }
    assert_eq!(moving.response().await.unwrap().body, b"0123456789");
    assert!(stalled.response().await.is_err());
    let report = site.finish().await;
    assert_eq!(report.connections.cut, 1, "{report}");
}

#[tokio::test]
async fn a_client_that_expects_a_continue_gets_it_while_the_process_drains() {
    let site = Site::start(quick().sweep(ms(1_000))).await;
    let mut accepted = Client::connect(site.address).await;
    let mut refused = Client::connect(site.address).await;
    for client in [&mut accepted, &mut refused] {
        client.get("/").await.unwrap();
    }
    site.trigger();
    site.reaches(Phase::Draining).await;
    let head = "host: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    accepted.send(format!("POST /echo HTTP/1.1\r\n{head}")).await;
    assert!(accepted.head().await.unwrap().starts_with("http/1.1 100"));
    let answered = accepted.exchange("hello").await.unwrap();
    assert_eq!((answered.status, &*answered.body, answered.closes()), (200, &b"hello"[..], true));
    accepted.closed().await.unwrap();

    let answered = refused.exchange(&format!("POST /refuse HTTP/1.1\r\n{head}")).await.unwrap();
    assert_eq!((answered.status, answered.closes()), (413, true), "{}", answered.head);
    refused.closed().await.unwrap();
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn every_kind_of_response_asks_to_close_and_then_the_connection_ends() {
    let site = Site::start(quick().sweep(ms(1_000))).await;
    let requests = [
        "GET / HTTP/1.1",
        "GET / HTTP/1.0\r\nconnection: keep-alive",
        "HEAD / HTTP/1.1",
        "GET /status/204 HTTP/1.1",
        "GET /status/304 HTTP/1.1",
        "GET /status/426 HTTP/1.1",
        "GET /status/500 HTTP/1.1",
        "GET /nowhere HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /events HTTP/1.1",
        "nonsense",
    ];
    let mut clients = Vec::new();
    for request in requests {
        let mut client = Client::connect(site.address).await;
        assert!(!client.get("/").await.unwrap().closes());
        clients.push((request, client));
    }
    site.trigger();
    site.reaches(Phase::Draining).await;
    for (request, mut client) in clients {
        client.send(format!("{request}\r\nhost: test\r\n\r\n")).await;
        let mut all = Vec::new();
        within(client.io.read_to_end(&mut all))
            .await
            .unwrap_or_else(|error| panic!("{request}: {error}"));
        let all = String::from_utf8(all).unwrap().to_ascii_lowercase();
        let heads = all.matches("connection: close").count();
        assert_eq!(heads, 1, "{request}: {all}");
    }
    assert_eq!(site.finish().await.exit_code(), 0);
}

#[tokio::test]
async fn a_body_that_is_dropped_midway_gives_its_place_back() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /endless HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.head().await.unwrap();
    assert!(!client.chunk().await.unwrap().is_empty());
    assert_eq!(site.handle.in_flight(), 1);
    drop(client);
    until(|| site.handle.in_flight() == 0).await;
    site.trigger();
    let report = site.finish().await;
    assert_eq!((report.abandoned, report.exit_code()), (0, 0), "{report}");
}
