//! The status of a DaemonSet.

use serde_json::{Value, json};

use super::Work;
use crate::collection::Collection;
use crate::controller::context::Context;
use crate::controller::pods::{is_available, is_ready};
use crate::object::Object;
use crate::store::Part;

impl Work {
    pub(super) fn write_status(&self, ctx: &mut Context<'_>) {
        let now = ctx.time();
        let wanted = || self.nodes.values().filter(|node| node.should_run);
        // The oldest pod of a node speaks for it.
        let speakers: Vec<&Value> =
            wanted().filter_map(|node| Some(&**node.pods.first()?)).collect();
        let count = |test: &dyn Fn(&Value) -> bool| speakers.iter().filter(|pod| test(pod)).count();
        let astray = self.nodes.values().filter(|node| !node.should_run && !node.pods.is_empty());
        let desired = wanted().count();
        let available = count(&|pod| is_available(pod, self.min_ready, now));
        let mut status = json!({
            "currentNumberScheduled": speakers.len(),
            "numberMisscheduled": astray.count(),
            "desiredNumberScheduled": desired,
            "numberReady": count(&is_ready),
            "observedGeneration": self.set.generation(),
        });
        for (key, number) in [
            ("updatedNumberScheduled", count(&|pod| self.is_new(pod))),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available.min(desired)),
        ] {
            if number > 0 {
                status[key] = number.into();
            }
        }
        if let Some(collisions) = self.set["status"].get("collisionCount") {
            status["collisionCount"] = collisions.clone();
        }
        if status != self.set["status"] {
            let _gone = ctx.edit(&Collection::DAEMON_SETS, Part::Status, &self.set, |set| {
                set["status"] = status;
            });
        }
    }
}
