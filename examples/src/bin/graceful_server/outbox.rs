//! Orders on their way to the stream, in batches.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use zdd_shutdown::ShutdownHandle;

use crate::stores::{Cache, CacheError};

const EVERY: Duration = Duration::from_millis(200);

/// What was committed and is not yet published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Mutex<Vec<i64>>>);

impl Outbox {
    pub(crate) fn push(&self, id: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Publishes what is there. It stays until that is done: a publication that
    /// fails, or is cut in the middle, is for the next time.
    pub(crate) async fn flush(&self, cache: &Cache) -> Result<(), CacheError> {
        let batch = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if batch.is_empty() {
            return Ok(());
        }
        cache.publish(&batch).await?;
        // New ones came behind it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..batch.len());
        Ok(())
    }

    /// Publishes a batch now and then, until the requests are being drained.
    ///
    /// Orders of the last requests are the business of the hook, which runs
    /// when there is none left.
    pub(crate) async fn run(self, cache: Cache, shutdown: ShutdownHandle) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                _ = ticks.tick() => {}
            }
            // Not inside the select: a batch that has begun is finished.
            if let Err(error) = self.flush(&cache).await {
                tracing::warn!(%error, "outbox stays full for now");
            }
        }
    }
}
