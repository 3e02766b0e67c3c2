//! Keeps a lease that is held, and notices when it cannot be proved any more.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use zdd_core::ClusterError;

use super::pause;
use super::record::{Record, Records};

/// Renews one tenure's lease.
pub(super) struct Renewal {
    records: Records,
    last: Record,
    /// When the request was sent that was confirmed last: others cannot have seen it earlier.
    confirmed: Instant,
}

impl Renewal {
    pub(super) fn new(records: Records, last: Record, confirmed: Instant) -> Self {
        Self { records, last, confirmed }
    }

    /// Renews at a third of the duration until stopped; then returns what the lease says.
    ///
    /// Cancels `lost` and returns nothing when the lease has another holder, or when no renewal
    /// was confirmed in time.
    pub(super) async fn run(
        mut self,
        lost: CancellationToken,
        stop: CancellationToken,
    ) -> Option<Record> {
        let held = stop.run_until_cancelled(self.keep()).await;
        if held.is_some() {
            lost.cancel();
            return None;
        }
        Some(self.last)
    }

    /// Returns when the lease is lost.
    async fn keep(&mut self) {
        let duration = self.records.duration();
        loop {
            sleep_until(self.confirmed + duration / 3).await;
            // Others wait for the whole duration, from a later moment. The margin is for what a
            // driver does between learning of the loss and stopping.
            let deadline = self.confirmed + duration - duration / 6;
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(sent)) => self.confirmed = sent,
                Ok(Err(Taken)) => return,
                Err(_) => {
                    tracing::warn!("the lease could not be renewed in time");
                    return;
                }
            }
        }
    }

    /// Tries until a renewal is confirmed; returns when it was sent.
    async fn renew(&mut self) -> Result<Instant, Taken> {
        let mut failures = 0;
        loop {
            let sent = Instant::now();
            match self.records.renew(&self.last).await {
                Ok(record) => {
                    self.last = record;
                    return Ok(sent);
                }
                Err(ClusterError::Conflict { .. }) => self.look().await?,
                Err(error) => tracing::debug!(%error, "the lease was not renewed"),
            }
            failures += 1;
            sleep(pause(failures).min(Duration::from_secs(1))).await;
        }
    }

    /// Looks why the lease is not as it was left: an own renewal whose answer was lost, someone's
    /// edit, or another holder.
    async fn look(&mut self) -> Result<(), Taken> {
        match self.records.read().await {
            Ok(Some(record)) if record.holder.as_deref() == Some(self.records.holder()) => {
                self.last = record;
                Ok(())
            }
            Ok(_) => Err(Taken),
            Err(error) => {
                tracing::debug!(%error, "the lease could not be read");
                Ok(())
            }
        }
    }
}

/// The lease has another holder, or is gone.
struct Taken;
