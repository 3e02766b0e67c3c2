//! The Recreate strategy: no pod of the new version before the last old one is gone.

use std::time::Duration;

use super::replica_sets::Missing;
use super::{Rollout, Which, count, replicas};
use crate::collection::Collection;
use crate::controller::pods::has_ended;
use crate::object::Object;

impl Rollout<'_, '_> {
    pub(super) fn recreate(&mut self) -> Option<Duration> {
        let mut shrunk = false;
        for index in 0..self.old.len() {
            if replicas(&self.old[index]) > 0 {
                shrunk |= self.scale_to(Which::Old(index), 0);
            }
        }
        if shrunk || self.old_pods_are_running() {
            return self.sync_rollout_status();
        }
        self.sync_revision(Missing::Create);
        self.scale_to(Which::New, self.spec.replicas);
        if self.is_complete(&self.deployment["status"]) {
            self.clean_up();
        }
        self.sync_rollout_status()
    }

    /// Terminating pods run too, so the counts of the ReplicaSets alone do not tell.
    fn old_pods_are_running(&self) -> bool {
        self.old.iter().any(|set| {
            let pods = || self.ctx.controlled(&Collection::PODS, set.uid());
            count(set, "replicas") > 0 || pods().iter().any(|pod| !has_ended(pod))
        })
    }
}
