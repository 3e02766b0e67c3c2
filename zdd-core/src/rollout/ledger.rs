//! Journal and state, kept in step: nothing is in the state that is not in the journal.

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::RolloutError;
use crate::journal::{Entry, Event, Journal, JournalError, Log};
use crate::lease::Epoch;
use crate::retry::RetryPolicy;
use crate::state::State;
use crate::target::Target;

/// Writes entries and keeps the state that they add up to.
pub(super) struct Ledger {
    journal: Arc<dyn Journal>,
    target: Target,
    log: Log,
    epoch: Epoch,
    clock: Clock,
    retry: RetryPolicy,
    state: State,
}

impl Ledger {
    /// Goes on with a log whose entries add up to `state`.
    pub(super) fn resume(
        journal: Arc<dyn Journal>,
        target: Target,
        (log, state): (Log, State),
        epoch: Epoch,
        (clock, retry): (Clock, RetryPolicy),
    ) -> Self {
        Self { journal, target, log, epoch, clock, retry, state }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Writes an entry, then takes it into the state.
    ///
    /// # Errors
    /// [`RolloutError::Lost`] when another driver has written in between.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), RolloutError> {
        let entry = Entry::new(self.clock.now(), self.epoch, event);
        let mut next = self.state.clone();
        next.apply(&entry).map_err(|error| RolloutError::corrupt(&self.target, &error))?;
        self.log.entries.push(entry);
        self.log.version = Some(store(&*self.journal, &self.target, &self.log, self.retry).await?);
        self.state = next;
        Ok(())
    }
}

/// Replaces the journal; looks up whether a write with an unknown outcome happened.
///
/// A journal that someone deleted is written again as a whole, on condition that there is none:
/// what rollback needs must not be lost with it.
pub(super) async fn store(
    journal: &dyn Journal,
    target: &Target,
    log: &Log,
    retry: RetryPolicy,
) -> Result<crate::snapshot::Version, RolloutError> {
    let mut log = Cow::Borrowed(log);
    let mut tried = 0;
    loop {
        let error = match journal.store(target, &log).await {
            Ok(version) => return Ok(version),
            Err(error) => error,
        };
        // A conflict may be our own doing, after a try with an unknown outcome, or a deletion.
        let conflict = matches!(error, JournalError::Conflict { .. });
        let again = conflict || error.is_retryable();
        let Some(pause) = again.then(|| retry.pause(tried)).flatten() else {
            return Err(RolloutError::journal(target, error));
        };
        tried += 1;
        if let Ok(present) = journal.load(target).await {
            match present.version {
                Some(version) if present.entries == log.entries => return Ok(version),
                None if log.version.is_some() => {
                    tracing::warn!(%target, "someone deleted the journal; it is written again");
                    log.to_mut().version = None;
                }
                version if version != log.version => {
                    return Err(RolloutError::Lost { target: target.clone() });
                }
                _ => {}
            }
        }
        tokio::time::sleep(pause).await;
    }
}
