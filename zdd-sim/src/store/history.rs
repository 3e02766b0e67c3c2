//! What was: the log of changes, and collections as they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Entry, Place, Store, place};
use crate::collection::Collection;

impl Store {
    /// Returns the log entries after `revision`, or `None` when the log no longer reaches back so far.
    #[must_use]
    pub fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Entry>> {
        let first = self.first();
        if revision + 1 < first {
            return None;
        }
        let skip = usize::try_from(revision + 1 - first).unwrap_or(usize::MAX);
        Some(self.log.iter().skip(skip))
    }

    /// Returns the log entries of one collection after `revision`, or `None` when the log no
    /// longer reaches back so far.
    #[must_use]
    pub fn since_in<'a>(
        &'a self,
        collection: &Collection,
        revision: u64,
    ) -> Option<impl Iterator<Item = &'a Entry> + use<'a>> {
        let first = self.first();
        if revision + 1 < first {
            return None;
        }
        let index = self.index.get(collection);
        let skip = index.map_or(0, |index| index.partition_point(|&seen| seen <= revision));
        let entries = index.into_iter().flatten().skip(skip);
        Some(entries.filter_map(move |at| {
            usize::try_from(at - first).ok().and_then(|offset| self.log.get(offset))
        }))
    }

    /// Returns a collection as it was at `revision`, or `None` when the log does not reach back
    /// so far or the revision is still to come.
    #[must_use]
    pub fn snapshot(
        &self,
        collection: &Collection,
        revision: u64,
    ) -> Option<BTreeMap<Place, Arc<Value>>> {
        if revision > self.revision {
            return None;
        }
        let later: Vec<&Entry> = self.since_in(collection, revision)?.collect();
        let mut objects = self.objects.get(collection).cloned().unwrap_or_default();
        for entry in later.into_iter().rev() {
            let place = place(&entry.object);
            match &entry.before {
                Some(before) => objects.insert(place, Arc::clone(before)),
                None => objects.remove(&place),
            };
        }
        Some(objects)
    }

    /// Forgets all log entries up to the present, so that older watches get 410 Gone.
    pub fn compact(&mut self) {
        self.log.clear();
        self.index.clear();
    }

    /// The oldest revision in the log, or the next one when the log is empty.
    fn first(&self) -> u64 {
        self.log.front().map_or(self.revision + 1, |entry| entry.revision)
    }
}
