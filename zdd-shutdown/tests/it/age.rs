//! Connections that are old. The name of this module is one of the first, so that the minute
//! passes while other tests run.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    load::{GET, POD, is_closed},
    raw::Client,
    site::ms,
    victim::Victim,
};

/// Longer than any limit that a server has for a request.
const IDLE: Duration = Duration::from_secs(61);

#[tokio::test]
async fn connections_that_were_idle_for_a_minute_end_with_fin() {
    let victim = Victim::start("serve", &POD);
    let mut clients = Vec::new();
    for _ in 0..500 {
        let mut client = Client::connect(victim.address()).await;
        assert_eq!(client.exchange(GET).await.unwrap().status, 200);
        clients.push(client);
    }
    sleep(IDLE).await;
    let closed = clients.iter().filter(|client| is_closed(&client.io)).count();
    assert_eq!(closed, 0, "nothing had asked the process to end");
    // Nor does it only look open.
    assert_eq!(clients[0].exchange(GET).await.unwrap().status, 200);
    let began = Instant::now();
    let ended = tokio::task::spawn_blocking(move || victim.end_by("TERM"));
    for client in &mut clients {
        client.closed().await.unwrap();
    }
    let closed = Instant::now() - began;
    let end = ended.await.unwrap();
    assert_eq!(end.code, Some(0), "{end:?}");
    // By the sweep, a second after the lame duck, and not by the exit.
    assert!(end.stdout.contains("500 closed, 0 cut, 0 aborted"), "{end:?}");
    assert!(closed >= ms(500), "{closed:?}");
    assert!(end.took < ms(500 + 2_000), "{end:?}");
}
