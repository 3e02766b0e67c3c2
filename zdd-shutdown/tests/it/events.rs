//! Server-sent events: responses that never end by themselves.

use crate::{
    raw::{Client, until},
    site::{Site, ms, quick},
};

#[tokio::test]
async fn events_end_properly_when_the_process_drains() {
    for target in ["/events", "/ended"] {
        let site = Site::start(quick()).await;
        let mut client = Client::connect(site.address).await;
        client.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        client.head().await.unwrap();
        assert_eq!(client.chunk().await.unwrap(), b"data: tick\n\n");
        site.trigger();
        // Up to the last chunk, which is empty.
        while !client.chunk().await.unwrap().is_empty() {}
        let report = site.finish().await;
        assert_eq!((report.finished, report.exit_code()), (1, 0), "{target}: {report}");
        assert!(report.took < ms(1_000), "{target}: {report}");
    }
}

#[tokio::test]
async fn events_that_ignore_the_drain_are_cut_in_time_for_the_hooks() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /endless HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.head().await.unwrap();
    site.trigger();
    while client.chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {}
    let report = site.finish().await;
    assert_eq!((report.abandoned, report.exit_code()), (1, 1), "{report}");
    assert!(report.took < ms(3_000), "{report}");
}

/// Reads numbered events up to the proper end of the response.
async fn numbers(client: &mut Client, at_least: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let event = String::from_utf8(client.chunk().await.unwrap()).unwrap();
        if event.is_empty() {
            return numbers;
        }
        let id =
            event.strip_prefix("id: ").and_then(|event| event.strip_suffix("\ndata: tick\n\n"));
        numbers.push(id.unwrap().parse().unwrap());
        if numbers.len() == at_least {
            return numbers;
        }
    }
}

#[tokio::test]
async fn a_client_goes_on_at_another_server_behind_the_last_event_that_it_got() {
    let (old, new) = (Site::start(quick()).await, Site::start(quick()).await);
    let mut client = Client::connect(old.address).await;
    client.send("GET /numbered HTTP/1.1\r\nhost: test\r\n\r\n").await;
    client.head().await.unwrap();
    let mut seen = numbers(&mut client, 20).await;
    old.trigger();
    seen.extend(numbers(&mut client, usize::MAX).await);
    client.closed().await.unwrap();
    assert_eq!(old.finish().await.exit_code(), 0);

    let last = seen.last().unwrap();
    let mut client = Client::connect(new.address).await;
    let again = format!("GET /numbered HTTP/1.1\r\nhost: test\r\nlast-event-id: {last}\r\n\r\n");
    client.send(again).await;
    client.head().await.unwrap();
    seen.extend(numbers(&mut client, 20).await);
    // None lost, none twice.
    assert!(seen.len() >= 40 && seen.iter().copied().eq(1..=seen.len() as u64), "{seen:?}");
    drop(client);
    until(|| new.handle.connections() == 0).await;
    new.trigger();
    assert_eq!(new.finish().await.exit_code(), 0);
}
