//! Progress printed as an operator would read it, with the time since the start.

use std::fmt::Write as _;

use futures::StreamExt;
use zdd_core::{Handle, Progress, elapsed};

/// Collects the progress of a rollout, from the call on, until it ends.
pub(crate) fn record(handle: &Handle) -> impl Future<Output = String> + use<> {
    let progress = handle.progress();
    async move {
        let events: Vec<Progress> = progress.collect().await;
        let mut text = String::new();
        let start = events.first().map(|event| event.at);
        for event in &events {
            let time = elapsed(start.unwrap(), event.at).as_secs();
            writeln!(text, "t+{:02}:{:02} {}", time / 60, time % 60, event.kind).unwrap();
        }
        text
    }
}
