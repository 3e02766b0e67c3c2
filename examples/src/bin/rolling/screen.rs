//! What people see while it runs.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use zdd_core::{Progress, ProgressKind};
use zdd_examples::pods::{Numbers, Pods};
use zdd_load::Meter;

use crate::args::Args;

/// The bars of a run, and the lines above them; only lines when stderr is no terminal.
pub(crate) struct Screen {
    screen: MultiProgress,
    old: ProgressBar,
    new: ProgressBar,
    requests: ProgressBar,
    phase: ProgressBar,
    images: [String; 2],
    pods: Pods,
    meters: Vec<Meter>,
}

impl Screen {
    pub(crate) fn new(args: &Args, pods: Pods, meters: Vec<Meter>) -> Self {
        let screen = MultiProgress::new();
        let bar = |name: &str, color: &str| {
            let style = format!("{name:<9} {{bar:30.{color}/black.dim}} {{msg}}");
            let style = ProgressStyle::with_template(&style);
            let bar = screen.add(ProgressBar::new(u64::from(args.replicas)));
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        let (old, new) = (bar("version 1", "blue"), bar("version 2", "green"));
        let requests = screen.add(ProgressBar::new_spinner());
        let phase = screen.add(ProgressBar::new_spinner());
        let images = [args.image.clone(), args.next_image()];
        Self { screen, old, new, requests, phase, images, pods, meters }
    }

    /// Shows all progress of a rollout. What was seen last stays to be read.
    pub(crate) async fn show(self, mut progress: Pin<Box<dyn Stream<Item = Progress> + Send>>) {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                event = progress.next() => match event {
                    Some(event) => self.tell(&event.kind),
                    None => break,
                },
                _ = tick.tick() => self.paint(),
            }
        }
        self.paint();
        self.phase.finish_and_clear();
        for bar in [self.old, self.new, self.requests] {
            bar.abandon();
        }
    }

    fn tell(&self, event: &ProgressKind) {
        if let ProgressKind::Phase { name, what } = event {
            self.phase.set_message(format!("{name}: {what}"));
        } else if !matches!(event, ProgressKind::Pods { .. }) {
            self.say(&event.to_string());
        }
    }

    fn say(&self, line: &str) {
        if self.screen.is_hidden() {
            eprintln!("{line}");
        } else {
            // A terminal that went away is no reason to stop a rollout.
            let _ = self.screen.println(line);
        }
    }

    fn paint(&self) {
        for (bar, image) in [&self.old, &self.new].into_iter().zip(&self.images) {
            paint(bar, self.pods.of(image));
        }
        self.requests.set_message(counts(&self.meters));
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
