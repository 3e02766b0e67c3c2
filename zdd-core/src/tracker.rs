//! Remembers when things began, across snapshots.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::snapshot::{Counts, Snapshot, TroubleKind, Uid};

/// Notes since when there was no progress, and since when each pod has trouble.
///
/// A new process starts with an empty tracker: times count from then on.
#[derive(Clone, Debug)]
pub struct Tracker {
    progressed_at: Timestamp,
    marks: Option<(i64, Counts, u32)>,
    troubles: BTreeMap<(Uid, TroubleKind), Timestamp>,
    refused_since: Option<Timestamp>,
}

impl Tracker {
    /// Starts tracking.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { progressed_at: now, marks: None, troubles: BTreeMap::new(), refused_since: None }
    }

    /// Takes a snapshot in.
    ///
    /// Progress is a new generation, more updated, ready or available pods than ever in this
    /// generation, or fewer old ones.
    pub fn note(&mut self, snapshot: &Snapshot, now: Timestamp) {
        if let Some(workload) = &snapshot.workload {
            let old = workload.counts.total.saturating_sub(workload.counts.updated);
            let next = (workload.generation, workload.counts, old);
            let best = match &self.marks {
                Some((generation, best, old_left)) if *generation == workload.generation => {
                    let mut merged = *best;
                    merged.updated = merged.updated.max(workload.counts.updated);
                    merged.ready = merged.ready.max(workload.counts.ready);
                    merged.available = merged.available.max(workload.counts.available);
                    merged.total = 0;
                    (*generation, merged, old.min(*old_left))
                }
                _ => (next.0, Counts { total: 0, ..next.1 }, next.2),
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
