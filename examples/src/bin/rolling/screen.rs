//! What people see while it runs.

use std::time::Duration;

use futures::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use zdd_core::{Handle, ProgressKind};
use zdd_examples::pods::{Numbers, Pods};
use zdd_load::Meter;

use crate::args::Args;

/// Draws bars until dropped; draws nothing when stderr is no terminal, and then prints events.
pub(crate) async fn show(handle: &Handle, pods: Pods, meters: Vec<Meter>, args: Args) {
    let screen = MultiProgress::new();
    let bar = |name: &str, color: &str| {
        let style = format!("{name:<9} {{bar:30.{color}/black.dim}} {{msg}}");
        let bar = screen.add(ProgressBar::new(u64::from(args.replicas)));
        bar.with_style(
            ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        )
    };
    let (old, new) = (bar("version 1", "blue"), bar("version 2", "green"));
    let requests = screen.add(ProgressBar::new_spinner());
    let phase = screen.add(ProgressBar::new_spinner());
    let mut progress = std::pin::pin!(handle.progress());
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            event = progress.next() => {
                let Some(event) = event else { return std::future::pending().await };
                if let ProgressKind::Phase { name, what } = &event.kind {
                    phase.set_message(format!("{name}: {what}"));
                } else if !matches!(event.kind, ProgressKind::Pods { .. }) {
                    say(&screen, &event.kind.to_string());
                }
            }
            _ = tick.tick() => {
                paint(&old, pods.of(&args.image));
                paint(&new, pods.of(&args.next_image()));
                requests.set_message(counts(&meters));
            }
        }
    }
}

fn say(screen: &MultiProgress, line: &str) {
    if screen.is_hidden() {
        eprintln!("{line}");
    } else {
        // A terminal that went away is no reason to stop a rollout.
        let _ = screen.println(line);
    }
}

fn paint(bar: &ProgressBar, pods: Numbers) {
    bar.set_position(u64::from(pods.ready));
    bar.set_message(format!(
        "{} ready, {} starting, {} ending",
        pods.ready, pods.starting, pods.ending
    ));
}

fn counts(meters: &[Meter]) -> String {
    let (sent, failed) = meters
        .iter()
        .map(Meter::snapshot)
        .fold((0, 0), |(sent, failed), now| (sent + now.sent, failed + now.failed));
    format!("requests  {sent} sent, {failed} failed")
}
