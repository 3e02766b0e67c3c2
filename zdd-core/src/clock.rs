//! The one place that reads the wall clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A wall clock that advances with tokio's time.
///
/// It reads the machine's clock once; after that it follows the monotonic
/// clock, so a stepped wall clock cannot shorten a bake time, and a test with
/// paused time controls it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    origin: Instant,
}

impl Clock {
    /// Starts a clock at the machine's time.
    #[must_use]
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Starts a clock that reads `start` now.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, origin: Instant::now() }
    }

    /// Returns a clock that never reads less than `time`: this one, or one that goes on from there.
    pub(crate) fn not_before(self, time: Timestamp) -> Self {
        if self.now() < time { Self::starting_at(time) } else { self }
    }

    /// Returns the present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = Instant::now().saturating_duration_since(self.origin);
        later(self.start, elapsed)
    }
}

/// Returns the time that passed, zero when `since` lies ahead.
#[must_use]
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Returns the time after a duration, the last representable one when it lies beyond.
#[must_use]
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
