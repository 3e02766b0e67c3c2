//! The beginning of a run: a new rollout, one to go on with, or one to take over from.

use crate::cluster::{ClusterError, Mark, Prepared};
use crate::error::RolloutError;
use crate::event::ProgressKind;
use crate::journal::{Baseline, Entry, Event, JournalError, Log, Start};
use crate::lease::Epoch;
use crate::outcome::Outcome;
use crate::rollout::Rollout;
use crate::rollout::ledger::{self, Ledger};
use crate::snapshot::{Settings, Snapshot, Workload};
use crate::state::{Phase, State};
use crate::step::Step;

/// What the journal had to say at the start of a run.
pub(super) enum Beginning {
    /// This very rollout has ended already: the process that saw to it died before it could say so.
    Ended(Box<State>, Outcome),
    /// There is something to do.
    Begun(Box<Begun>),
}

/// A run that has begun: the ledger, the snapshot it began on, and what users should know.
pub(super) struct Begun {
    pub(super) ledger: Ledger,
    pub(super) snapshot: Snapshot,
    pub(super) warnings: Vec<String>,
    pub(super) news: ProgressKind,
}

/// What a rollout leaves to the one that comes after it.
struct Legacy {
    baseline: Baseline,
    paused: bool,
    /// The knobs that it had set and that are still as it set them.
    settings: Settings,
    /// Whether its driver may still be at work.
    unfinished: bool,
}

impl Legacy {
    /// Nothing is left to a workload that was made anew, and nothing by a rollout that came to a
    /// good end. One that got stuck leaves its baseline, unless what it left has become well since.
    fn of(old: &State, snapshot: &Snapshot) -> Option<Self> {
        let workload = snapshot.workload.as_ref().filter(|one| one.uid == old.start.uid)?;
        let (unfinished, proven) = match &old.phase {
            Phase::Progressing | Phase::RollingBack(_) => (true, false),
            Phase::Finished(Outcome::Stuck { .. }) => (false, snapshot.is_complete()),
            Phase::Finished(_) => return None,
        };
        let (present, before) = (&workload.template, &old.start.baseline.template);
        // A template that the old rollout does not know is someone's wish, and wins.
        let known = [Some(before), Some(&old.start.template), old.start.found.as_ref()];
        let template = if known.contains(&Some(present)) && !proven { before } else { present };
        let restored = old.settings_to_restore(&workload.settings);
        Some(Self {
            baseline: Baseline::new(template.clone(), restored.or(&workload.settings)),
            paused: old.paused || old.pending == Some(Step::Pause),
            settings: workload.settings.where_still(&old.set, &workload.settings),
            unfinished,
        })
    }
}

impl Rollout {
    /// Reads the journal and begins accordingly. The first write to anything but the lease is the
    /// journal's, after all checks.
    ///
    /// A run that was driver `before` and lost the lease goes on only where nobody has been since.
    pub(super) async fn begin(
        &mut self,
        epoch: Epoch,
        before: Option<Epoch>,
    ) -> Result<Beginning, RolloutError> {
        let (log, state) = self.load().await?;
        let mut own = false;
        if let Some(last) = log.entries.last() {
            // Another machine may have written it, whose clock is ahead of ours: what it has
            // timed must not take longer for that.
            self.clock = self.clock.not_before(last.at);
            if before.is_some_and(|before| last.epoch > before) {
                return Err(RolloutError::Lost { target: self.target.clone() });
            }
            own = before == Some(last.epoch);
        }
        if let Some(state) = &state
            && let Phase::Finished(outcome) = &state.phase
            && (own || state.start.rollout == self.id && state.start.change == self.change)
        {
            return Ok(Beginning::Ended(Box::new(state.clone()), outcome.clone()));
        }
        let begun = match state {
            Some(state) if self.goes_on_with(&state) => self.adopt(epoch, log, state).await,
            old => self.start(epoch, log, old).await,
        };
        Ok(Beginning::Begun(Box::new(begun?)))
    }

    /// Milestones are those of one strategy, so another one begins anew.
    fn goes_on_with(&self, state: &State) -> bool {
        let start = &state.start;
        !state.is_finished()
            && start.change == self.change
            && start.strategy == self.strategy.name()
    }

    /// Tells whether a workload that is paused was paused by the rollout that this one supersedes,
    /// for a plan.
    ///
    /// # Errors
    /// As [`start`](Self::start) has it, someone else's pause is a refusal.
    pub(super) async fn inherits_pause(&self, prepared: &Prepared) -> Result<bool, RolloutError> {
        let workload = self.workload(prepared)?;
        if !workload.paused {
            return Ok(false);
        }
        let old = self.load().await?.1;
        let legacy = old.and_then(|old| Legacy::of(&old, &prepared.snapshot));
        let inherited = legacy.is_some_and(|legacy| legacy.paused);
        self.refuse_paused(workload, inherited)?;
        Ok(inherited)
    }

    fn refuse_paused(&self, workload: &Workload, inherited: bool) -> Result<(), RolloutError> {
        if !workload.paused || inherited {
            return Ok(());
        }
        let problem =
            "it is paused; resume it first (kubectl rollout resume), or its owner's wish is lost";
        Err(self.cluster_error(ClusterError::refused(&self.target, problem)))
    }

    async fn load(&self) -> Result<(Log, Option<State>), RolloutError> {
        let journal = &self.backend.journal;
        let loaded = self.retry.run(JournalError::is_retryable, || journal.load(&self.target));
        let log = loaded.await.map_err(|error| RolloutError::journal(&self.target, error))?;
        let state = State::replay(&log.entries)
            .map_err(|error| RolloutError::corrupt(&self.target, &error))?;
        Ok((log, state))
    }

    /// Goes on with a rollout that another process left unfinished.
    async fn adopt(&self, epoch: Epoch, log: Log, state: State) -> Result<Begun, RolloutError> {
        // The fence first: no write of the old process lands after the look at the cluster.
        self.fence(&Mark::new(&self.target, &state.start.rollout, epoch)).await?;
        let snapshot = self.observe().await?;
        let mut ledger = self.ledger(epoch, log, state);
        ledger.record(Event::Adopted).await?;
        let news = ProgressKind::Adopted { target: self.target.clone() };
        Ok(Begun { ledger, snapshot, warnings: Vec::new(), news })
    }

    /// Starts anew; an unfinished rollout is superseded and hands its baseline on.
    async fn start(
        &self,
        epoch: Epoch,
        log: Log,
        old: Option<State>,
    ) -> Result<Begun, RolloutError> {
        let mut prepared = self.prepare().await?;
        let inherits = |prepared: &Prepared| {
            let legacy = old.as_ref().and_then(|old| Legacy::of(old, &prepared.snapshot));
            let paused = legacy.as_ref().is_some_and(|legacy| legacy.paused);
            self.refuse_paused(self.workload(prepared)?, paused)?;
            Ok(legacy)
        };
        let mut legacy = inherits(&prepared)?;
        if legacy.as_ref().is_some_and(|legacy| legacy.unfinished) {
            self.fence(&Mark::new(&self.target, &self.id, epoch)).await?;
            // What was prepared on may be from before a last write of the older driver.
            prepared = self.prepare().await?;
            legacy = inherits(&prepared)?;
        }
        let workload = self.workload(&prepared)?;
        let inherited_pause = legacy.as_ref().is_some_and(|legacy| legacy.paused);
        let inherited_settings = legacy.as_ref().map(|legacy| legacy.settings.clone());
        let baseline = legacy.map_or_else(
            || Baseline::new(workload.template.clone(), workload.settings.clone()),
            |legacy| legacy.baseline,
        );
        let start = Start {
            rollout: self.id.clone(),
            target: self.target.clone(),
            uid: workload.uid.clone(),
            strategy: self.strategy.name().to_owned(),
            change: self.change.clone(),
            template: prepared.template.clone(),
            found: (workload.template != baseline.template).then(|| workload.template.clone()),
            baseline,
            inherited_pause: inherited_pause && workload.paused,
            inherited_settings: inherited_settings.filter(|set| *set != Settings::default()),
        };
        let entry = Entry::new(self.clock.now(), epoch, Event::Started(Box::new(start)));
        let mut log = Log::new(vec![entry], log.version);
        log.version =
            Some(ledger::store(&*self.backend.journal, &self.target, &log, self.retry).await?);
        let state = State::begin(&log.entries[0])
            .map_err(|error| RolloutError::corrupt(&self.target, &error))?;
        let news = ProgressKind::Started {
            target: self.target.clone(),
            strategy: self.strategy.name().to_owned(),
            change: self.change.to_string(),
        };
        let ledger = self.ledger(epoch, log, state);
        Ok(Begun { ledger, snapshot: prepared.snapshot, warnings: prepared.warnings, news })
    }

    pub(super) fn workload<'p>(
        &self,
        prepared: &'p Prepared,
    ) -> Result<&'p Workload, RolloutError> {
        prepared.snapshot.workload.as_ref().ok_or_else(|| {
            self.cluster_error(ClusterError::refused(
                &self.target,
                "it does not exist; create it first",
            ))
        })
    }

    fn ledger(&self, epoch: Epoch, log: Log, state: State) -> Ledger {
        let journal = std::sync::Arc::clone(&self.backend.journal);
        Ledger::resume(journal, self.target.clone(), (log, state), epoch, (self.clock, self.retry))
    }

    async fn fence(&self, mark: &Mark<'_>) -> Result<(), RolloutError> {
        let fenced =
            self.retry.run(ClusterError::is_retryable, || self.backend.cluster.fence(mark)).await;
        match fenced {
            // A target that is gone needs no fence; the look at it decides what that means.
            Err(ClusterError::Refused { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.cluster_error(error)),
        }
    }

    pub(super) async fn observe(&self) -> Result<Snapshot, RolloutError> {
        let snapshot = self
            .retry
            .run(ClusterError::is_retryable, || self.backend.cluster.observe(&self.target))
            .await;
        snapshot.map_err(|error| self.cluster_error(error))
    }

    pub(super) fn cluster_error(&self, error: ClusterError) -> RolloutError {
        RolloutError::cluster(&self.target, error)
    }
}
