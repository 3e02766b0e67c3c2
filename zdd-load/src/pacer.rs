//! Open-loop arrival: when each request is due.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// Hands out tickets; ticket *k* is due at `start + k / rate`.
///
/// Whichever worker is free takes the next ticket, so a slow connection does
/// not hold back the requests of the others.
#[derive(Debug)]
pub(crate) struct Pacer {
    start: Instant,
    end: Instant,
    /// `None` is closed-loop: each ticket is due at once.
    rate: Option<u32>,
    total: u64,
    next: AtomicU64,
}

/// When a request is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
}

impl Pacer {
    pub(crate) fn new(start: Instant, rate: Option<u32>, total: u64, limit: Duration) -> Self {
        Self { start, end: start + limit, rate, total, next: AtomicU64::new(0) }
    }

    /// Takes the next ticket; `None` when the count or the time is used up.
    pub(crate) fn ticket(&self) -> Option<Due> {
        let ticket = self.next.fetch_add(1, Relaxed);
        if ticket >= self.total {
            return None;
        }
        match self.rate {
            None => (Instant::now() < self.end).then_some(Due::Now),
            Some(rate) => {
                let at = self.start + offset(ticket, rate);
                (at < self.end).then_some(Due::At(at))
            }
        }
    }
}

fn offset(ticket: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    let nanos = (ticket % rate) * 1_000_000_000 / rate;
    Duration::from_secs(ticket / rate) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_do_not_drift() {
        assert_eq!(offset(0, 3), Duration::ZERO);
        assert_eq!(offset(3, 3), Duration::from_secs(1));
        assert_eq!(offset(10_000 * 3_600, 10_000), Duration::from_secs(3_600));
        assert_eq!(offset(1, 10_000), Duration::from_micros(100));
    }

    #[test]
    fn count_and_time_both_bound_the_tickets() {
        let start = Instant::now();
        let by_count = Pacer::new(start, Some(1_000), 3, Duration::from_secs(9));
        assert_eq!(std::iter::from_fn(|| by_count.ticket()).count(), 3);
        let by_time = Pacer::new(start, Some(1_000), 1_000_000, Duration::from_millis(5));
        assert_eq!(std::iter::from_fn(|| by_time.ticket()).count(), 5);
    }
}
