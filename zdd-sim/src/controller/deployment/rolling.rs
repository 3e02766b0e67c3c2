//! The arithmetic of a rolling update (pkg/controller/deployment/rolling.go).

use std::time::Duration;

use super::replica_sets::Missing;
use super::spec::Spec;
use super::{Rollout, Which, count, replicas};

/// The first wait of the work queue's rate limiter.
const STALE_RETRY: Duration = Duration::from_millis(5);

impl Rollout<'_, '_> {
    /// Takes one step of a rolling update: grow the new ReplicaSet, or else shrink the old ones.
    pub(super) fn roll(&mut self) -> Option<Duration> {
        self.sync_revision(Missing::Create);
        if self.grow_new() {
            return self.sync_rollout_status();
        }
        if self.room() > 0 && self.counts_are_stale() {
            // The real controller fails here and tries again: a ReplicaSet that was just scaled
            // still counts the pods that it lost, and they would be taken away twice.
            return Some(STALE_RETRY);
        }
        if self.shrink_old() {
            return self.sync_rollout_status();
        }
        if self.is_complete(&self.deployment["status"]) {
            self.clean_up();
        }
        self.sync_rollout_status()
    }

    /// Tells whether a ReplicaSet that would shrink has more pods available than it wants.
    fn counts_are_stale(&self) -> bool {
        self.old
            .iter()
            .any(|set| replicas(set) > 0 && count(set, "availableReplicas") > replicas(set))
    }

    fn grow_new(&mut self) -> bool {
        let Some(new) = &self.new else { return false };
        let size = replicas(new);
        if size == self.spec.replicas {
            return false;
        }
        let wanted = if size > self.spec.replicas {
            self.spec.replicas
        } else {
            let total = self.all().map(|set| replicas(set)).sum();
            new_size(&self.spec, total, size)
        };
        self.scale_to(Which::New, wanted)
    }

    fn shrink_old(&mut self) -> bool {
        let room = self.room();
        if room <= 0 {
            return false;
        }
        let unhealthy = self.remove_unhealthy(room);
        let healthy = self.shrink_healthy(self.floor());
        unhealthy + healthy > 0
    }

    /// How many old pods may go, when the new ones that are not available yet count for nothing.
    fn room(&self) -> i64 {
        let Some(new) = self.new.as_ref().filter(|_| self.old.iter().any(|s| replicas(s) > 0))
        else {
            return 0;
        };
        let total: i64 = self.all().map(|set| replicas(set)).sum();
        let starting = replicas(new) - count(new, "availableReplicas");
        total - self.floor() - starting
    }

    /// How many pods must stay available.
    fn floor(&self) -> i64 {
        self.spec.replicas - self.spec.max_unavailable
    }

    /// Old pods that are not available go first: losing them loses nothing.
    fn remove_unhealthy(&mut self, room: i64) -> i64 {
        let mut removed = 0;
        for index in 0..self.old.len() {
            if removed >= room {
                break;
            }
            let size = replicas(&self.old[index]);
            let unavailable = size - count(&self.old[index], "availableReplicas");
            let step = unavailable.min(room - removed);
            if size == 0 || step <= 0 {
                continue;
            }
            self.scale_to(Which::Old(index), size - step);
            removed += step;
        }
        removed
    }

    fn shrink_healthy(&mut self, floor: i64) -> i64 {
        let available: i64 = self.all().map(|set| count(set, "availableReplicas")).sum();
        let excess = available - floor;
        let mut removed = 0;
        for index in 0..self.old.len() {
            if removed >= excess {
                break;
            }
            let size = replicas(&self.old[index]);
            let step = size.min(excess - removed);
            if step <= 0 {
                continue;
            }
            self.scale_to(Which::Old(index), size - step);
            removed += step;
        }
        removed
    }
}

/// How large the new ReplicaSet may be, when all of them have `total` pods (`NewRSNewReplicas`).
pub(super) fn new_size(spec: &Spec, total: i64, size: i64) -> i64 {
    let room = spec.replicas + spec.max_surge - total;
    if room <= 0 { size } else { size + room.min(spec.replicas - size) }
}
