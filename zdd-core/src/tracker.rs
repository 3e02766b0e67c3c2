//! Remembers when things began, across snapshots.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::snapshot::{Counts, Settings, Snapshot, TroubleKind, Uid, Workload};
use crate::template::Template;

/// Notes since when there was no progress, and since when each pod has trouble.
///
/// A new process starts with an empty tracker: times count from then on.
#[derive(Clone, Debug)]
pub struct Tracker {
    progressed_at: Timestamp,
    marks: Option<Marks>,
    was_complete: bool,
    troubles: BTreeMap<(Uid, TroubleKind), Timestamp>,
    refused_since: Option<Timestamp>,
}

impl Tracker {
    /// Starts tracking.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            progressed_at: now,
            marks: None,
            was_complete: false,
            troubles: BTreeMap::new(),
            refused_since: None,
        }
    }

    /// Takes a snapshot in.
    ///
    /// Progress is another template or other knobs, more updated, ready or available pods than ever
    /// under these, fewer old ones, or more pods wanted than ever. What was complete and is not any
    /// more has its whole time before it.
    ///
    /// Other edits are none: an annotation that someone renews, or an autoscaler that goes up and
    /// down, would put every deadline off for ever.
    pub fn note(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let complete = snapshot.is_complete();
        let lost = std::mem::replace(&mut self.was_complete, complete) && !complete;
        if lost {
            self.progressed_at = now;
        }
        if let Some(workload) = &snapshot.workload {
            let best = Marks::of(workload);
            let best = match &self.marks {
                Some(before) if before.are_of(workload) => best.or_better(before),
                Some(_) | None => best,
            };
            if self.marks.as_ref() != Some(&best) {
                self.marks = Some(best);
                self.progressed_at = now;
            }
        }
        let refused = snapshot.workload.as_ref().is_some_and(|w| w.replica_failure.is_some());
        self.refused_since = refused.then(|| self.refused_since.unwrap_or(now));
        let current: BTreeMap<_, _> = snapshot
            .pods
            .iter()
            .filter_map(|pod| Some((pod.uid.clone(), pod.trouble.as_ref()?.kind)))
            .map(|key| {
                let since = self.troubles.get(&key).copied().unwrap_or(now);
                (key, since)
            })
            .collect();
        self.troubles = current;
    }

    /// Starts the measures anew, as for the way back.
    pub fn restart(&mut self, now: Timestamp) {
        *self = Self::new(now);
    }

    /// Returns when there was progress last.
    #[must_use]
    pub fn progressed_at(&self) -> Timestamp {
        self.progressed_at
    }

    /// Returns since when the cluster has refused to create pods.
    #[must_use]
    pub fn refused_since(&self) -> Option<Timestamp> {
        self.refused_since
    }

    /// Returns since when a pod has had this kind of trouble.
    #[must_use]
    pub fn troubled_since(&self, uid: &Uid, kind: TroubleKind) -> Option<Timestamp> {
        self.troubles.get(&(uid.clone(), kind)).copied()
    }
}

/// The best that was seen of one desired state.
#[derive(Clone, Debug, PartialEq)]
struct Marks {
    template: Template,
    settings: Settings,
    paused: bool,
    wanted: u32,
    counts: Counts,
    old: u32,
}

impl Marks {
    fn of(workload: &Workload) -> Self {
        Self {
            template: workload.template.clone(),
            settings: workload.settings.clone(),
            paused: workload.paused,
            wanted: workload.replicas,
            counts: Counts { total: 0, ..workload.counts },
            old: workload.counts.total.saturating_sub(workload.counts.updated),
        }
    }

    fn are_of(&self, workload: &Workload) -> bool {
        self.paused == workload.paused
            && self.settings == workload.settings
            && self.template == workload.template
    }

    fn or_better(mut self, before: &Self) -> Self {
        self.wanted = self.wanted.max(before.wanted);
        self.counts.updated = self.counts.updated.max(before.counts.updated);
        self.counts.ready = self.counts.ready.max(before.counts.ready);
        self.counts.available = self.counts.available.max(before.counts.available);
        self.old = self.old.min(before.old);
        self
    }
}
