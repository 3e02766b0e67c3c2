//! How long no new connection has come. Pure: the clock is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// The most that the time between two looks adds: a machine or a process that stood still for
/// longer has heard nobody, and that is no silence.
const HEARD: Duration = Duration::from_millis(25);

/// The silence since the last arrival, as far as somebody listened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    arrivals: u64,
    looked: Instant,
    lasted: Duration,
    /// Before that, silence does not say that traffic has moved away.
    known_at: Instant,
}

impl Silence {
    /// Begins to listen.
    pub(crate) fn from(arrivals: u64, now: Instant) -> Self {
        Self { arrivals, looked: now, lasted: Duration::ZERO, known_at: now }
    }

    /// Says by when proxies know of a process that nobody has called yet: until then one that lags
    /// may send traffic for the first time.
    pub(crate) fn unknown_until(self, known_at: Instant) -> Self {
        Self { known_at, ..self }
    }

    /// Takes in how many have arrived by now; returns how long the silence has lasted.
    pub(crate) fn look(&mut self, arrivals: u64, now: Instant) -> Duration {
        if arrivals != self.arrivals {
            *self = Self::from(arrivals, now);
        } else if now >= self.known_at {
            self.lasted += now.saturating_duration_since(self.looked).min(HEARD);
        }
        self.looked = now;
        self.lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    #[test]
    fn silence_lasts_from_the_last_arrival() {
        let mut now = Instant::now();
        let mut silence = Silence::from(3, now);
        let mut look = |arrivals| {
            now += TICK;
            silence.look(arrivals, now)
        };
        assert_eq!(look(3), TICK);
        assert_eq!(look(3), 2 * TICK);
        assert_eq!(look(4), Duration::ZERO);
        assert_eq!(look(4), TICK);
    }

    #[test]
    fn nobody_has_moved_away_from_what_nobody_knew() {
        let begun = Instant::now();
        let mut silence = Silence::from(0, begun).unknown_until(begun + 2 * TICK);
        assert_eq!(silence.look(0, begun + TICK), Duration::ZERO);
        assert_eq!(silence.look(0, begun + 2 * TICK), TICK);
        // Who has been called is known.
        let mut silence = Silence::from(0, begun).unknown_until(begun + 100 * TICK);
        assert_eq!(silence.look(1, begun + TICK), Duration::ZERO);
        assert_eq!(silence.look(1, begun + 2 * TICK), TICK);
    }

    #[test]
    fn a_standstill_of_the_machine_is_no_silence() {
        let begun = Instant::now();
        let mut silence = Silence::from(0, begun);
        assert_eq!(silence.look(0, begun + Duration::from_secs(60)), HEARD);
        assert_eq!(silence.look(0, begun + Duration::from_secs(60) + TICK), HEARD + TICK);
    }
}
