//! The state of a rollout: what its journal adds up to.
//!
//! [`State::apply`] is the only transition function. The driver goes through
//! it when it writes an entry, and a new process when it reads one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use thiserror::Error;

use crate::handle::Command;
use crate::journal::{Entry, Event, Start};
use crate::lease::Epoch;
use crate::outcome::{Outcome, Reason};
use crate::snapshot::Settings;
use crate::step::Step;
use crate::strategy::Milestone;
use crate::template::Template;

/// Where a rollout is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the driver must act on each")]
pub enum Phase {
    /// It has ended.
    Finished(Outcome),
    /// On the way to the new template.
    Progressing,
    /// On the way back.
    RollingBack(Reason),
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "strategies must decide for each")]
pub enum Intervention {
    /// Nothing: carry on.
    #[default]
    None,
    /// Stay as you are until further notice.
    Pause,
}

/// What a journal adds up to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct State {
    /// How it began.
    pub start: Start,
    /// When it began.
    pub started_at: Timestamp,
    /// The newest driver.
    pub epoch: Epoch,
    /// Where it is.
    pub phase: Phase,
    /// A step that was intended and not yet seen to hold.
    pub pending: Option<Step>,
    /// The template that a verified step set last; `None` while the baseline's is still there.
    pub template: Option<Template>,
    /// The knobs as steps of this rollout have set them, made or meant: whatever else is found on
    /// the workload is someone else's.
    pub set: Vec<Settings>,
    /// Whether the workload has these knobs: from the step that set the first of them until they
    /// are given back.
    pub holds_knobs: bool,
    /// Whether the workload is paused by a step of this rollout.
    pub paused: bool,
    /// The milestones reached on the present way, and when.
    pub milestones: BTreeMap<Milestone, Timestamp>,
    /// What the operator wants.
    pub intervention: Intervention,
    /// When the operator asked to skip what is left to wait for.
    pub promoted_at: Option<Timestamp>,
}

/// An event that cannot happen where the rollout is.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("event {event} is not possible {when}")]
pub struct IllegalTransition {
    event: &'static str,
    when: &'static str,
}

impl State {
    /// Reads a whole journal. An empty one gives `None`.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the journal is not one that a driver could have written.
    pub fn replay(entries: &[Entry]) -> Result<Option<Self>, IllegalTransition> {
        let Some((first, rest)) = entries.split_first() else {
            return Ok(None);
        };
        let mut state = Self::begin(first)?;
        for entry in rest {
            state.apply(entry)?;
        }
        Ok(Some(state))
    }

    /// Starts from a [`Event::Started`] entry.
    ///
    /// # Errors
    /// [`IllegalTransition`] for any other event.
    pub fn begin(entry: &Entry) -> Result<Self, IllegalTransition> {
        let Event::Started(start) = &entry.event else {
            return Err(IllegalTransition { event: entry.event.name(), when: "before the start" });
        };
        Ok(Self {
            start: (**start).clone(),
            started_at: entry.at,
            epoch: entry.epoch,
            phase: Phase::Progressing,
            pending: None,
            template: None,
            set: start.inherited_settings.clone().into_iter().collect(),
            holds_knobs: false,
            paused: start.inherited_pause,
            milestones: BTreeMap::new(),
            intervention: Intervention::None,
            promoted_at: None,
        })
    }

    /// Takes one entry in.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot happen where the rollout is; the state is then
    /// unchanged.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), IllegalTransition> {
        let illegal = |when| Err(IllegalTransition { event: entry.event.name(), when });
        if entry.epoch < self.epoch {
            return illegal("after another driver took over");
        }
        if matches!(self.phase, Phase::Finished(_)) {
            return illegal("after the end");
        }
        match (&entry.event, &self.pending) {
            (Event::Started(_), _) => return illegal("after the start"),
            (Event::Adopted, _) => {}
            (Event::Commanded(command), _) => self.obey(command, entry.at),
            (Event::Intended(step), None) => self.intend(step),
            (Event::Intended(_), Some(_)) => return illegal("while a step is pending"),
            (Event::Verified, Some(_)) => self.verify(),
            (Event::Withdrawn, Some(_)) => self.withdraw(),
            (Event::Verified | Event::Withdrawn, None) => {
                return illegal("without a pending step");
            }
            (Event::Reached(milestone), None) => {
                self.milestones.entry(milestone.clone()).or_insert(entry.at);
            }
            (Event::Reached(_), Some(_)) => return illegal("while a step is pending"),
            (Event::RollbackStarted(reason), _) => match self.phase {
                // A step that may have happened is taken back with the rest: the way back starts
                // from what is seen, not from what was intended.
                Phase::Progressing => self.turn_back(reason),
                Phase::RollingBack(_) | Phase::Finished(_) => return illegal("on the way back"),
            },
            (Event::Finished(outcome), _) => {
                self.phase = Phase::Finished(outcome.clone());
                self.pending = None;
            }
        }
        self.epoch = entry.epoch;
        Ok(())
    }

    /// Tells whether the rollout has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished(_))
    }

    /// Names the knobs to give back, with their owner's values: those that this rollout has set,
    /// and that nobody has turned since.
    #[must_use]
    pub fn settings_to_restore(&self, present: &Settings) -> Settings {
        self.start.baseline.settings.where_still(&self.set, present)
    }

    fn intend(&mut self, step: &Step) {
        let set = match step {
            Step::SetTemplate { settings, .. } => Some(settings.clone()),
            Step::SetPartition { partition } => {
                Some(Settings { partition: Some(*partition), ..Settings::default() })
            }
            Step::DeletePod { .. } | Step::Pause | Step::RestoreSettings { .. } | Step::Resume => {
                None
            }
        };
        self.holds_knobs &= !matches!(step, Step::RestoreSettings { .. });
        if let Some(set) = set.filter(|set| !self.set.contains(set)) {
            self.set.push(set);
        }
        self.pending = Some(step.clone());
    }

    fn verify(&mut self) {
        match self.pending.take() {
            Some(Step::SetTemplate { template, .. }) => {
                self.template = Some(template);
                self.holds_knobs = true;
            }
            Some(Step::Pause) => self.paused = true,
            Some(Step::Resume) => self.paused = false,
            Some(
                Step::DeletePod { .. } | Step::RestoreSettings { .. } | Step::SetPartition { .. },
            )
            | None => {}
        }
    }

    /// Lets go of the pending step. A pause that may have happened counts as ours, so that it is
    /// ended in time.
    fn withdraw(&mut self) {
        self.paused |= self.pending == Some(Step::Pause);
        self.pending = None;
    }

    fn obey(&mut self, command: &Command, at: Timestamp) {
        match command {
            // An abort is followed by its own entry, `RollbackStarted`.
            Command::Abort { .. } => {}
            Command::Pause => self.intervention = Intervention::Pause,
            Command::Promote => {
                self.intervention = Intervention::None;
                self.promoted_at = Some(at);
            }
            Command::Resume => self.intervention = Intervention::None,
        }
    }

    fn turn_back(&mut self, reason: &Reason) {
        self.phase = Phase::RollingBack(reason.clone());
        self.withdraw();
        self.template = None;
        self.milestones.clear();
        self.intervention = Intervention::None;
        self.promoted_at = None;
    }
}

impl Event {
    /// Returns the event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Commanded(_) => "commanded",
            Self::Finished(_) => "finished",
            Self::Intended(_) => "intended",
            Self::Reached(_) => "reached",
            Self::RollbackStarted(_) => "rollback-started",
            Self::Started(_) => "started",
            Self::Verified => "verified",
            Self::Withdrawn => "withdrawn",
        }
    }
}
