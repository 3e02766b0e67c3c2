//! Faults of a watch while it runs.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::TransportError;

type Lines = BoxStream<'static, Result<Bytes, TransportError>>;

/// Breaks off after a number of events, each of which is a line.
pub(crate) fn drop_after(
    lines: Lines,
    events: usize,
) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
    futures::stream::unfold((lines, Some(events)), |(mut lines, left)| async move {
        let left = left?;
        if left == 0 {
            return Some((Err(TransportError::Closed), (lines, None)));
        }
        let mut chunk = match lines.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some((Err(error), (lines, None))),
        };
        let mut left = left;
        let ends = chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let mut end = chunk.len();
        for (at, _) in ends {
            if left == 0 {
                break;
            }
            left -= 1;
            end = at + 1;
        }
        chunk.truncate(end);
        Some((Ok(chunk), (lines, Some(left))))
    })
}

/// Breaks off when the server goes.
pub(crate) fn while_up(
    lines: Lines,
    up: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
    futures::stream::unfold(Some((lines, up)), |state| async move {
        let (mut lines, mut up) = state?;
        let item = tokio::select! {
            biased;
            Ok(()) = async { up.wait_for(|up| !*up).await.map(drop) } => {
                return Some((Err(TransportError::Closed), None));
            }
            item = lines.next() => item?,
        };
        Some((item, Some((lines, up))))
    })
}

/// Delivers everything later by the same time, in order.
pub(crate) fn delay(
    lines: Lines,
    by: Duration,
) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
    let state = Delay { lines, by, waiting: VecDeque::new(), ended: false };
    futures::stream::unfold(state, |mut state| async move {
        let item = state.next().await?;
        Some((item, state))
    })
}

struct Delay {
    lines: Lines,
    by: Duration,
    waiting: VecDeque<(Instant, Result<Bytes, TransportError>)>,
    ended: bool,
}

impl Delay {
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            let due = self.waiting.front().map(|(due, _)| *due);
            if due.is_some_and(|due| due <= Instant::now()) {
                return self.waiting.pop_front().map(|(_, item)| item);
            }
            match (due, self.ended) {
                (None, true) => return None,
                (Some(due), true) => tokio::time::sleep_until(due).await,
                (None, false) => {
                    let item = self.lines.next().await;
                    self.arrive(item);
                }
                (Some(due), false) => {
                    let lines = Pin::new(&mut self.lines);
                    let arrived = tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(due) => continue,
                        item = lines.into_future() => item.0,
                    };
                    self.arrive(arrived);
                }
            }
        }
    }

    fn arrive(&mut self, item: Option<Result<Bytes, TransportError>>) {
        match item {
            Some(item) => self.waiting.push_back((Instant::now() + self.by, item)),
            None => self.ended = true,
        }
    }
}
