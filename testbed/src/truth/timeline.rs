//! When the requests of a case were due, which version answered them, and which failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use zdd_load::{Load, Outcome};

/// The length of time that is counted together.
pub(super) const SPAN: Duration = Duration::from_millis(500);
/// The response header by which a version says which it is.
const VERSION: &str = "x-version";

/// What became of the requests that were due within one [`SPAN`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Tally {
    /// Requests that were answered, by the version that answered.
    pub(super) answered: BTreeMap<String, u64>,
    /// Requests that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) failed: u64,
}

impl Tally {
    /// Returns how many requests were answered.
    pub(super) fn answers(&self) -> u64 {
        self.answered.values().sum()
    }

    /// Returns how many requests were due.
    pub(super) fn total(&self) -> u64 {
        self.answers() + self.failed
    }
}

/// Counts the outcomes of loads from its start on.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    begun: Instant,
    spans: Arc<Mutex<Vec<Tally>>>,
}

impl Timeline {
    pub(super) fn start() -> Self {
        Self { begun: Instant::now(), spans: Arc::default() }
    }

    /// Has the outcomes of a load counted.
    pub(super) fn watch(&self, load: Load) -> Load {
        let timeline = self.clone();
        load.label_header(VERSION).on_outcome(move |outcome| timeline.record(outcome))
    }

    fn record(&self, outcome: &Outcome<'_>) {
        // A request that waited for its time limit belongs where it was due, not where it ended.
        let due = self.begun.elapsed().saturating_sub(outcome.latency);
        let index = usize::try_from(due.as_millis() / SPAN.as_millis()).unwrap_or(usize::MAX);
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() <= index {
            spans.resize(index + 1, Tally::default());
        }
        let span = &mut spans[index];
        if outcome.cause.is_some() {
            span.failed += 1;
        } else {
            *span.answered.entry(outcome.label.unwrap_or_default().to_owned()).or_default() += 1;
        }
    }

    /// Returns the counts, a [`SPAN`] each.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
