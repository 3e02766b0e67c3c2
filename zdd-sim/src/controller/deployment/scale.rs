//! Scaling outside of a rollout step: after an edit of `replicas`, and while paused.

use super::replica_sets::{created, desired, max_replicas};
use super::spec::Strategy;
use super::{Rollout, Which, count, replicas};
use crate::object::Object;

impl Rollout<'_, '_> {
    /// Tells whether someone changed `replicas` since the ReplicaSets were last sized.
    pub(super) fn is_scaling_event(&self) -> bool {
        let active = self.all().filter(|set| replicas(set) > 0);
        active.filter_map(|set| desired(set)).any(|size| size != self.spec.replicas)
    }

    pub(super) fn scale(&mut self) {
        if let Some(only) = self.active_or_latest() {
            if self.which(only).is_some_and(|set| replicas(set) != self.spec.replicas) {
                self.scale_to(only, self.spec.replicas);
            }
        } else if self.is_saturated() {
            for index in 0..self.old.len() {
                if replicas(&self.old[index]) > 0 {
                    self.scale_to(Which::Old(index), 0);
                }
            }
        } else if self.spec.strategy == Strategy::RollingUpdate {
            self.scale_in_proportion();
        }
    }

    /// The one ReplicaSet that has pods, or the newest when none has.
    fn active_or_latest(&self) -> Option<Which> {
        let mut active = self.sets().filter(|which| self.size(*which) > 0);
        match (active.next(), active.next()) {
            (None, _) if self.new.is_some() => Some(Which::New),
            (None, _) => {
                let latest = (0..self.old.len()).max_by_key(|index| created(&self.old[*index]))?;
                Some(Which::Old(latest))
            }
            (one, None) => one,
            (Some(_), Some(_)) => None,
        }
    }

    fn is_saturated(&self) -> bool {
        self.new.as_ref().is_some_and(|new| {
            desired(new) == Some(self.spec.replicas)
                && replicas(new) == self.spec.replicas
                && count(new, "availableReplicas") == self.spec.replicas
        })
    }

    /// Spreads growth or shrinkage over all ReplicaSets, the largest first, so that a scale in the
    /// middle of a rollout keeps the share of both versions.
    fn scale_in_proportion(&mut self) {
        let mut sets: Vec<Which> = self.sets().filter(|which| self.size(*which) > 0).collect();
        let total: i64 = sets.iter().map(|which| self.size(*which)).sum();
        let replicas = self.spec.replicas;
        let allowed = if replicas > 0 { replicas + self.spec.max_surge } else { 0 };
        let change = allowed - total;
        let age = |which: Which| self.which(which).map(|set| created(set));
        match change {
            1.. => sets.sort_by(|a, b| {
                self.size(*b).cmp(&self.size(*a)).then_with(|| age(*b).cmp(&age(*a)))
            }),
            ..0 => sets.sort_by(|a, b| {
                self.size(*b).cmp(&self.size(*a)).then_with(|| age(*a).cmp(&age(*b)))
            }),
            0 => {}
        }
        let mut added = 0;
        let mut sizes = Vec::with_capacity(sets.len());
        for which in &sets {
            let share = self.proportion(*which, change, added);
            added += share;
            sizes.push(self.size(*which) + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + change - added).max(0);
        }
        for (which, size) in sets.into_iter().zip(sizes) {
            self.scale_to(which, size);
        }
    }

    /// `GetReplicaSetProportion`.
    fn proportion(&self, which: Which, change: i64, added: i64) -> i64 {
        let size = self.size(which);
        if size == 0 || change == 0 || change == added {
            return 0;
        }
        let rest = change - added;
        let fraction = self.fraction(which, size);
        if change > 0 { fraction.min(rest) } else { fraction.max(rest) }
    }

    fn fraction(&self, which: Which, size: i64) -> i64 {
        if self.spec.replicas == 0 {
            return -size;
        }
        let now = self.spec.replicas + self.spec.max_surge;
        let annotated = self.which(which).and_then(|set| max_replicas(set)).filter(|max| *max > 0);
        let status = self.deployment.int("/status/replicas").filter(|count| *count > 0);
        let Some(before) = annotated.or(status) else { return 0 };
        // Half goes away from zero, as Go's math.Round does.
        (2 * size * now + before).div_euclid(2 * before) - size
    }

    fn sets(&self) -> impl Iterator<Item = Which> + use<> {
        let new = self.new.as_ref().map(|_| Which::New);
        (0..self.old.len()).map(Which::Old).chain(new)
    }

    fn size(&self, which: Which) -> i64 {
        self.which(which).map_or(0, |set| replicas(set))
    }
}
