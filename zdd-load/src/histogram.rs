//! Latency histogram that all workers share.
//!
//! Log-linear with 64 steps per power of two, so a value is off by less than
//! 1.6 %. One fixed array of counters: hundreds of workers record into it
//! without a lock and without a histogram each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values from 2^40 (twelve days in microseconds) share the last bucket.
const MAX_BITS: u32 = 40;
const BUCKETS: usize = ((MAX_BITS - STEP_BITS + 1) as usize) * STEPS as usize;

#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, max: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// Returns the smallest recorded step that holds at least this share of the values.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(index).min(self.max());
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let value = value.min((1 << MAX_BITS) - 1);
    if value < STEPS {
        return value as usize;
    }
    let octave = value.ilog2() - STEP_BITS;
    let step = (value >> octave) - STEPS;
    (u64::from(octave + 1) * STEPS + step) as usize
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let octave = index / STEPS - 1;
    let step = index % STEPS;
    ((STEPS + step + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_within_the_promised_error() {
        let mut value = 0_u64;
        while value < 1 << 39 {
            let top = upper(bucket(value));
            assert!(top >= value, "{value} above its bucket's top {top}");
            assert!((top - value) as f64 <= value as f64 / 64.0, "{value} reported as {top}");
            value += 1 + value / 97;
        }
    }

    #[test]
    fn quantiles_of_a_known_series() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=1000).for_each(|value| histogram.record(value));
        assert!((500..=508).contains(&histogram.quantile(0.5)));
        assert!((990..=1000).contains(&histogram.quantile(0.99)));
        assert_eq!(histogram.max(), 1000);
    }

    #[test]
    fn an_absurd_value_is_kept_in_the_last_bucket() {
        let histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.max(), u64::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
