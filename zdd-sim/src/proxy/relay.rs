//! Carries bytes between a client and a pod until both are done or one resets.
//!
//! `tokio::io::copy_bidirectional` does the same, but its error does not say which side failed,
//! and it does not see a reset of a side that has already sent its last byte.

use std::pin::pin;

use futures::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::counts::{BackendCounters, Counter};

/// Holds an ordinary request or response in one read.
const BUFFER: usize = 8 * 1024;

/// One of the two ends of a relayed connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Backend,
    Client,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Backend => Self::Client,
            Self::Client => Self::Backend,
        }
    }
}

/// Relays until both sides have closed; the error names the side that reset.
pub(super) async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    counters: &BackendCounters,
) -> Result<(), Side> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = pin!(pump(Side::Client, from_client, to_server, &counters.bytes_in));
    let down = pin!(pump(Side::Backend, from_server, to_client, &counters.bytes_out));
    match select(up, down).await {
        Either::Left((client, down)) => finish(Side::Client, client?, down).await,
        Either::Right((server, up)) => finish(Side::Backend, server?, up).await,
    }
}

/// Copies one direction; at its end passes the half-close on and gives the source back.
async fn pump<'a>(
    side: Side,
    mut from: ReadHalf<'a>,
    mut to: WriteHalf<'_>,
    bytes: &Counter,
) -> Result<ReadHalf<'a>, Side> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await.map_err(|_| side)?;
        if n == 0 {
            break;
        }
        to.write_all(&buffer[..n]).await.map_err(|_| side.other())?;
        bytes.add(u64::try_from(n).unwrap_or_default());
    }
    to.shutdown().await.map_err(|_| side.other())?;
    Ok(from)
}

/// Waits for the second direction, while watching the first for a reset: nobody reads from it any
/// more, so that only the error readiness tells.
async fn finish<'a>(
    side: Side,
    first: ReadHalf<'_>,
    second: impl Future<Output = Result<ReadHalf<'a>, Side>> + Unpin,
) -> Result<(), Side> {
    let failed = pin!(first.ready(Interest::ERROR));
    match select(second, failed).await {
        Either::Left((second, _)) => second.map(drop),
        Either::Right(_) => Err(side),
    }
}
