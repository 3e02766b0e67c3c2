//! The end of a connection that the server closes.
//!
//! A socket that is closed with unread input makes the kernel send RST, and an
//! RST that overtakes the response destroys it in the client. So the server
//! says that it is done, and then reads and throws away what the client still
//! sends, for a moment.

use std::{future::poll_fn, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::conn::io::Link;

/// A client that keeps sending is listened to this many times longer than one
/// that is silent.
const STUBBORN: u32 = 5;

/// Waits for the client to close, for at most `limit` of silence.
pub(crate) async fn linger(link: &Link, limit: Duration) {
    link.close_write();
    if link.conn.read_closed.load(Relaxed) {
        return;
    }
    let end = Instant::now() + limit * STUBBORN;
    loop {
        let silence = end.min(Instant::now() + limit);
        match timeout_at(silence, poll_fn(|cx| link.poll_discard(cx))).await {
            Ok(Ok(read)) if read > 0 && Instant::now() < end => {}
            // The client closed, broke, or had its time.
            Ok(_) | Err(_) => return,
        }
    }
}
