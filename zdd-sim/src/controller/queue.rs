//! The work queue of all controllers: what is to be looked at, and when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use crate::controller::Controller;
use crate::store::Place;

/// One object that one controller has to look at.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Task {
    pub(crate) controller: Controller,
    pub(crate) place: Place,
}

/// When a task is due; tasks of one instant run in an order drawn from the seed.
type Due = (Instant, u32, u64);

/// Tasks in order of time. A task is queued once: the earlier time wins, as in client-go's
/// delaying queue.
#[derive(Debug)]
pub(crate) struct Queue {
    by_time: BTreeMap<Due, Task>,
    times: HashMap<Task, Due>,
    parked: BTreeSet<Task>,
    paused: BTreeSet<Controller>,
    random: fastrand::Rng,
    count: u64,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            by_time: BTreeMap::new(),
            times: HashMap::new(),
            parked: BTreeSet::new(),
            paused: BTreeSet::new(),
            random: fastrand::Rng::with_seed(seed),
            count: 0,
        }
    }

    pub(crate) fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    pub(crate) fn push(&mut self, task: Task, at: Instant) {
        if let Some(queued) = self.times.get(&task) {
            if queued.0 <= at {
                return;
            }
            self.by_time.remove(queued);
        }
        self.count += 1;
        let due = (at, self.random.u32(..), self.count);
        self.times.insert(task.clone(), due);
        self.by_time.insert(due, task);
    }

    /// Takes the next task that is due; those of paused controllers are set aside.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Task> {
        loop {
            let first = self.by_time.first_entry()?;
            if first.key().0 > now {
                return None;
            }
            let task = first.remove();
            self.times.remove(&task);
            if !self.paused.contains(&task.controller) {
                return Some(task);
            }
            self.parked.insert(task);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        Some(self.by_time.first_key_value()?.0.0)
    }

    pub(crate) fn pause(&mut self, controller: Controller) {
        self.paused.insert(controller);
    }

    pub(crate) fn resume(&mut self, controller: Controller, now: Instant) {
        if !self.paused.remove(&controller) {
            return;
        }
        let (due, rest) =
            std::mem::take(&mut self.parked).into_iter().partition(|t| t.controller == controller);
        self.parked = rest;
        let due: BTreeSet<Task> = due;
        for task in due {
            self.push(task, now);
        }
    }
}
