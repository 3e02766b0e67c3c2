//! The status of a StatefulSet.

use serde_json::{Value, json};

use super::{REVISION_LABEL, Work};
use crate::collection::Collection;
use crate::controller::context::Context;
use crate::controller::pods::{is_available, is_ready};
use crate::object::Object;
use crate::store::Part;

impl Work<'_> {
    pub(super) fn write_status(&self, ctx: &mut Context<'_>, collisions: i64) {
        let now = ctx.time();
        // What this look created is in the store; pods it deleted are terminating there.
        let pods: Vec<_> = self
            .all()
            .filter_map(|pod| {
                let place = (pod.namespace().to_owned(), pod.name().to_owned());
                let current = ctx.get(&Collection::PODS, &place)?;
                (current.uid() == pod.uid()).then_some(current)
            })
            .collect();
        let count = |test: &dyn Fn(&Value) -> bool| pods.iter().filter(|pod| test(pod)).count();
        let runs = |pod: &Value| pod.text("/status/phase") == Some("Running");
        let of = |pod: &Value, name: &str| {
            pod.label(REVISION_LABEL) == Some(name) && !pod.is_terminating()
        };
        let replicas = pods.len();
        let ready = count(&|pod| runs(pod) && is_ready(pod));
        let available = count(&|pod| runs(pod) && is_available(pod, self.spec.min_ready, now));
        let updated = count(&|pod| of(pod, self.update.name()));
        let mut current = count(&|pod| of(pod, self.current.name()));
        let mut current_name = self.current.name();
        if self.spec.rolls && updated == replicas && ready == replicas {
            current = updated;
            current_name = self.update.name();
        }
        let mut status = json!({
            "observedGeneration": self.set.generation(),
            "replicas": replicas,
            "availableReplicas": available,
            "currentRevision": current_name,
            "updateRevision": self.update.name(),
            "collisionCount": collisions,
        });
        for (key, number) in
            [("readyReplicas", ready), ("currentReplicas", current), ("updatedReplicas", updated)]
        {
            if number > 0 {
                status[key] = number.into();
            }
        }
        if let Some(conditions) = self.set["status"].get("conditions") {
            status["conditions"] = conditions.clone();
        }
        if status != self.set["status"] {
            let _gone = ctx.edit(&Collection::STATEFUL_SETS, Part::Status, self.set, |set| {
                set["status"] = status;
            });
        }
    }
}
