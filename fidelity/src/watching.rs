//! Open watches and the events that they brought.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::command::{End, Fact};

/// A watch.
pub(crate) struct Watch {
    stream: BoxStream<'static, anyhow::Result<Value>>,
}

impl Watch {
    pub(crate) fn new(stream: BoxStream<'static, anyhow::Result<Value>>) -> Self {
        Self { stream }
    }

    /// Reads events until there are enough.
    pub(crate) async fn read(
        &mut self,
        end: End,
        facts: &[Fact],
        limit: Duration,
    ) -> anyhow::Result<Vec<Value>> {
        let deadline = Instant::now() + limit;
        let mut events: Vec<Value> = Vec::new();
        loop {
            let enough = match end {
                End::Count(count) => events.len() >= count,
                End::Closed => false,
                End::Facts => {
                    events.last().is_some_and(|event| facts.iter().all(|fact| fact.holds(event)))
                }
            };
            if enough {
                return Ok(events);
            }
            match timeout_at(deadline, self.stream.next()).await {
                Ok(Some(event)) => events.push(event?),
                Ok(None) if end == End::Closed => return Ok(events),
                Ok(None) => bail!("the watch ended after {} events: {events:?}", events.len()),
                Err(_) => {
                    let last = events.last().map(Value::to_string).unwrap_or_default();
                    return Err(anyhow::anyhow!("the last of {} was {last}", events.len()))
                        .with_context(|| format!("not enough events within {limit:?}"));
                }
            }
        }
    }
}
