//! What a strategy may look at.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::elapsed;
use crate::gate::{GateRecords, Judgement, judge};
use crate::journal::Baseline;
use crate::snapshot::{Completion, Pod, Settings, Snapshot, Trouble, Workload};
use crate::state::{Intervention, State};
use crate::strategy::Milestone;
use crate::target::WorkloadKind;
use crate::template::Template;
use crate::tracker::Tracker;

/// An immutable view: the snapshot, what the journal holds, the gates' verdicts, the time.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    state: &'a State,
    snapshot: &'a Snapshot,
    tracker: &'a Tracker,
    gates: &'a GateRecords,
    now: Timestamp,
}

impl<'a> Observation<'a> {
    /// Puts an observation together.
    #[must_use]
    pub fn new(
        state: &'a State,
        snapshot: &'a Snapshot,
        tracker: &'a Tracker,
        gates: &'a GateRecords,
        now: Timestamp,
    ) -> Self {
        Self { state, snapshot, tracker, gates, now }
    }

    /// Returns the present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns what was seen of the cluster.
    #[must_use]
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// Returns what the journal holds.
    #[must_use]
    pub fn state(&self) -> &'a State {
        self.state
    }

    /// Returns the target's own state; `None` when it does not exist.
    #[must_use]
    pub fn workload(&self) -> Option<&'a Workload> {
        self.snapshot.workload.as_ref()
    }

    /// Returns the kind of the target.
    #[must_use]
    pub fn kind(&self) -> WorkloadKind {
        self.state.start.target.kind
    }

    /// Returns the new template.
    #[must_use]
    pub fn template(&self) -> &'a Template {
        &self.state.start.template
    }

    /// Returns what was there before.
    #[must_use]
    pub fn baseline(&self) -> &'a Baseline {
        &self.state.start.baseline
    }

    /// Returns what the operator wants.
    #[must_use]
    pub fn intervention(&self) -> Intervention {
        self.state.intervention
    }

    /// Tells whether the operator asked to skip what is left to wait for.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        self.state.promoted_at.is_some()
    }

    /// Returns when a milestone was reached.
    #[must_use]
    pub fn reached(&self, milestone: &Milestone) -> Option<Timestamp> {
        self.state.milestones.get(milestone).copied()
    }

    /// Tells whether the controller has rolled the desired template out, and pods and endpoints
    /// have followed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.snapshot.is_complete()
    }

    /// Says what [`is_complete`](Self::is_complete) still misses.
    #[must_use]
    pub fn missing(&self) -> String {
        let mut missing = self.incomplete();
        let Some(workload) = self.workload() else { return missing };
        if workload.paused {
            missing.push_str(", and its controller is told to leave the pods alone");
        }
        if let Some(refusal) = &workload.replica_failure {
            missing.push_str("; pods cannot be created: ");
            missing.push_str(refusal);
        }
        missing
    }

    fn incomplete(&self) -> String {
        match self.workload().map(|workload| &workload.completion) {
            None => "the target does not exist".to_owned(),
            Some(Completion::Waiting { what }) => what.clone(),
            Some(Completion::Unobserved) => {
                "waiting for the controller to see the change".to_owned()
            }
            Some(Completion::DeadlineExceeded { message }) => message.clone(),
            Some(Completion::Complete) if !self.snapshot.pods_follow() => {
                "waiting for news of the last pods".to_owned()
            }
            Some(Completion::Complete) => "waiting for the endpoints to follow".to_owned(),
        }
    }

    /// Names the knobs to give back at the end, with their owner's values: those that this rollout
    /// has set, and that nobody has turned since.
    #[must_use]
    pub fn settings_to_restore(&self) -> Settings {
        let present = self.workload().map(|workload| &workload.settings);
        present.map_or_else(Settings::default, |present| self.state.settings_to_restore(present))
    }

    /// Returns how long there was no progress.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        elapsed(self.tracker.progressed_at().max(self.state.started_at), self.now)
    }

    /// Lists the pods of the desired template that do not run, and for how long.
    pub fn failing(&self) -> impl Iterator<Item = (&'a Pod, &'a Trouble, Duration)> {
        let (tracker, now) = (self.tracker, self.now);
        self.snapshot.updated().filter(|pod| !pod.terminating).filter_map(move |pod| {
            let trouble = pod.trouble.as_ref()?;
            let since = tracker.troubled_since(&pod.uid, trouble.kind).unwrap_or(now);
            Some((pod, trouble, elapsed(since, now)))
        })
    }

    /// Returns the cluster's words for refusing to create pods, and for how long it has.
    #[must_use]
    pub fn refused_for(&self) -> Option<(&'a str, Duration)> {
        let message = self.workload()?.replica_failure.as_deref()?;
        let since = self.tracker.refused_since().unwrap_or(self.now);
        Some((message, elapsed(since, self.now)))
    }

    /// Returns what the gates have said since they were opened.
    #[must_use]
    pub fn gates(&self) -> &'a GateRecords {
        self.gates
    }

    /// Adds up what the gates have said.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        judge(self.gates, self.now)
    }
}
