//! Orders on their way to the stream, in batches.

use std::{
    mem,
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

    /// Publishes what is there; on failure it stays for the next time.
    pub(crate) async fn flush(&self, cache: &Cache) -> Result<(), CacheError> {
        let batch = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if batch.is_empty() {
            return Ok(());
        }
        let published = cache.publish(&batch).await;
        if published.is_err() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).splice(0..0, batch);
        }
        published
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
