//! Bounded retry of what the cluster could not do right now.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

/// How often and how long the engine tries again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Tries in all, the first one included.
    pub tries: usize,
}

impl Default for RetryPolicy {
    /// 100 ms, doubling to 10 s, 20 tries: about two and a half minutes of an absent API server.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10), tries: 20 }
    }
}

impl RetryPolicy {
    /// Runs an operation until it succeeds, fails for good, or the tries are used up.
    ///
    /// There is no pause after the last try; the last error is returned.
    ///
    /// # Errors
    /// That of the operation.
    pub(crate) async fn run<T, E, F>(
        &self,
        is_retryable: impl FnMut(&E) -> bool,
        operation: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        E: std::error::Error,
        F: Future<Output = Result<T, E>>,
    {
        operation
            .retry(self.builder())
            .sleep(tokio::time::sleep)
            .when(is_retryable)
            .notify(|error, pause| tracing::debug!(%error, ?pause, "trying again"))
            .await
    }

    /// Returns the pause before the given retry, counted from 0; `None` when there is none left.
    pub(crate) fn pause(&self, retry: usize) -> Option<Duration> {
        use backon::BackoffBuilder;
        self.builder().build().nth(retry)
    }

    fn builder(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_max_times(self.tries.saturating_sub(1))
    }
}
