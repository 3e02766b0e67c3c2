//! The one fall below the floor that is Kubernetes' own.
//!
//! Someone scales a Deployment down in the middle of a rolling update, and its controller shrinks
//! the new ReplicaSet. Until that one's status follows, it counts pods that are about to go, and
//! takes as many old ones away for them. Decision 021 has the source and what was seen of it.

use std::collections::HashMap;

use serde_json::Value;
use zdd_core::{Target, WorkloadKind};
use zdd_sim::{Collection, Entry, Object};

/// Who makes the mistake.
const CONTROLLER: &str = "deployment-controller";

/// Watches the ReplicaSets of a target for a step that rests on a stale count.
#[derive(Debug)]
pub(super) struct Miscount<'a> {
    target: &'a Target,
    scaled_down: bool,
    sets: HashMap<String, Counts>,
    slip: Slip,
}

/// A step on a stale count, and what has come of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Slip {
    /// None was taken, or what fell has come back.
    None,
    Taken,
    /// Endpoints are missing for it.
    Fell,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    wanted: i64,
    available: i64,
}

impl<'a> Miscount<'a> {
    pub(super) fn of(target: &'a Target) -> Self {
        Self { target, scaled_down: false, sets: HashMap::new(), slip: Slip::None }
    }

    /// Takes in that someone wants fewer pods.
    pub(super) fn scaled_down(&mut self) {
        self.scaled_down = true;
    }

    /// Takes in a write to a ReplicaSet.
    pub(super) fn look(&mut self, entry: &Entry) {
        if self.target.kind != WorkloadKind::Deployment
            || entry.collection != Collection::REPLICA_SETS
            || !is_of(&entry.object, &self.target.name)
        {
            return;
        }
        let before = entry.before.as_deref().map(Counts::of);
        self.note(entry.object.name(), before, Counts::of(&entry.object), &entry.actor);
    }

    fn note(&mut self, name: &str, before: Option<Counts>, now: Counts, actor: &str) {
        let shrunk = before.is_some_and(|before| now.wanted < before.wanted);
        let mut others = self.sets.iter().filter(|(other, _)| *other != name);
        let misled = others.any(|(_, counts)| counts.available > counts.wanted);
        let slips = self.scaled_down && shrunk && misled && actor == CONTROLLER;
        if slips && self.slip == Slip::None {
            self.slip = Slip::Taken;
        }
        self.sets.insert(name.to_owned(), now);
    }

    /// Tells whether it is the reason that a Service has fewer endpoints than it should.
    pub(super) fn excuses(&mut self, enough: bool) -> bool {
        self.slip = match (self.slip, enough) {
            (Slip::None, _) | (Slip::Fell, true) => Slip::None,
            (Slip::Taken, true) => Slip::Taken,
            (Slip::Taken | Slip::Fell, false) => Slip::Fell,
        };
        self.slip != Slip::None
    }
}

impl Counts {
    fn of(set: &Value) -> Self {
        Self {
            wanted: set.int("/spec/replicas").unwrap_or(1),
            available: set.int("/status/availableReplicas").unwrap_or_default(),
        }
    }
}

fn is_of(set: &Value, deployment: &str) -> bool {
    let owners = set["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    owners.iter().any(|owner| owner["kind"] == "Deployment" && owner["name"] == deployment)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two old pods and two new ones, of which the controller takes a new one and both old ones.
    fn after(scaled_down: bool, available: i64, actor: &str) -> bool {
        let target = Target::deployment("default", "web");
        let mut miscount = Miscount::of(&target);
        let [two, one, none] = [2, 1, 0].map(|wanted| Counts { wanted, available: 2 });
        miscount.note("old", None, two, CONTROLLER);
        miscount.note("new", None, two, CONTROLLER);
        if scaled_down {
            miscount.scaled_down();
        }
        miscount.note("new", Some(two), one, CONTROLLER);
        miscount.note("new", Some(one), Counts { wanted: 1, available }, "replicaset-controller");
        miscount.note("old", Some(two), none, actor);
        miscount.excuses(false)
    }

    #[test]
    fn only_a_step_of_the_controller_on_a_stale_count_after_a_scale_is_excused() {
        assert!(after(true, 2, CONTROLLER));
        assert!(!after(false, 2, CONTROLLER), "nobody wanted fewer");
        assert!(!after(true, 1, CONTROLLER), "it could see what was there");
        assert!(!after(true, 2, "zdd"), "another's step");
    }

    #[test]
    fn a_second_fall_is_not_excused() {
        let target = Target::deployment("default", "web");
        let mut miscount = Miscount { slip: Slip::Taken, ..Miscount::of(&target) };
        let told: Vec<bool> = [true, false, false, true, false]
            .into_iter()
            .map(|enough| miscount.excuses(enough))
            .collect();
        assert_eq!(told, [true, true, true, false, false]);
    }
}
