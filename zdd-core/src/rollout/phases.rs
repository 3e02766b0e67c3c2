//! Measures what a rollout spends its time on.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::elapsed;
use crate::outcome::PhaseTime;

/// A stop watch with named laps.
#[derive(Debug)]
pub(super) struct PhaseClock {
    laps: Vec<PhaseTime>,
    current: String,
    since: Timestamp,
}

impl PhaseClock {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self { laps: Vec::new(), current: name.to_owned(), since: now }
    }

    pub(super) fn current(&self) -> &str {
        &self.current
    }

    /// Enters a phase; a phase that is entered again gets a new lap.
    pub(super) fn enter(&mut self, name: &str, now: Timestamp) {
        if name != self.current {
            let time = elapsed(self.since, now);
            let name = std::mem::replace(&mut self.current, name.to_owned());
            if time > Duration::ZERO {
                self.laps.push(PhaseTime::new(name, time));
            }
            self.since = now;
        }
    }

    /// Ends the current lap and hands all of them over.
    pub(super) fn finish(&mut self, now: Timestamp) -> Vec<PhaseTime> {
        self.enter("", now);
        std::mem::take(&mut self.laps)
    }
}
