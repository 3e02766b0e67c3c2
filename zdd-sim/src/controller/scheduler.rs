//! The scheduler: binds each pod to the node with the fewest pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::meta::{condition, is_true, replace_condition};
use crate::controller::pods::{has_ended, pinned_node};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};

/// How many pods each node has; kept current from the store's log.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    pub(crate) load: BTreeMap<String, usize>,
    /// While set, no pod finds a node; the text is the message of the condition.
    pub(crate) refusal: Option<String>,
}

impl Scheduler {
    pub(crate) fn observe(&mut self, entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
        let object = &entry.object;
        if entry.collection == Collection::NODES {
            self.observe_node(entry);
            Self::retry(store, push);
        } else if entry.collection == Collection::PODS {
            let deleted = entry.change == Change::Deleted;
            let before = entry.before.as_ref().and_then(|pod| pod.text("/spec/nodeName"));
            let after = object.text("/spec/nodeName").filter(|_| !deleted);
            if before != after {
                self.count(before, |load| load.saturating_sub(1));
                self.count(after, |load| load + 1);
            }
            if after.is_none() && !deleted {
                push((object.namespace().to_owned(), object.name().to_owned()));
            }
        }
    }

    fn observe_node(&mut self, entry: &Entry) {
        let name = entry.object.name();
        let usable = entry.change != Change::Deleted
            && entry.object["spec"]["unschedulable"] != true
            && is_true(&entry.object, "Ready");
        if !usable {
            self.load.remove(name);
        } else if !self.load.contains_key(name) {
            self.load.insert(name.to_owned(), 0);
        }
    }

    /// Lists the pods that wait for a node.
    pub(crate) fn retry(store: &Store, push: &mut dyn FnMut(Place)) {
        for pod in store.list(&Collection::PODS, None) {
            if pod.text("/spec/nodeName").is_none() {
                push((pod.namespace().to_owned(), pod.name().to_owned()));
            }
        }
    }

    fn count(&mut self, node: Option<&str>, change: impl FnOnce(usize) -> usize) {
        if let Some(load) = node.and_then(|node| self.load.get_mut(node)) {
            *load = change(*load);
        }
    }

    pub(crate) fn reconcile(&self, ctx: &mut Context<'_>, place: &Place) -> Next {
        let Some(pod) = ctx.get(&Collection::PODS, place) else { return Next::Done };
        if pod.is_terminating() || has_ended(&pod) || pod.text("/spec/nodeName").is_some() {
            return Next::Done;
        }
        let node = match pinned_node(&pod) {
            // Daemons tolerate a node that is cordoned or not ready.
            Some(node) => Some(node.to_owned())
                .filter(|node| ctx.store.get(&Collection::NODES, "", node).is_some()),
            None => self.load.iter().min_by_key(|(_, load)| **load).map(|(node, _)| node.clone()),
        };
        match node.filter(|_| self.refusal.is_none()) {
            Some(node) => {
                let message =
                    format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
                let _gone = ctx.edit(&Collection::PODS, Part::Main, &pod, |pod| {
                    pod["spec"]["nodeName"] = node.into();
                });
                ctx.event(&pod, Note::Normal("Scheduled"), &message);
            }
            None => self.report(ctx, &pod),
        }
        Next::Done
    }

    fn report(&self, ctx: &mut Context<'_>, pod: &Value) {
        if condition(&pod["status"], "PodScheduled").is_some() {
            return;
        }
        let none = "0/0 nodes are available.";
        let message = self.refusal.as_deref().unwrap_or(none).to_owned();
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": null,
            "lastTransitionTime": ctx.stamp(),
        });
        let _gone = ctx.edit(&Collection::PODS, Part::Status, pod, |pod| {
            replace_condition(&mut pod["status"], condition);
        });
        ctx.event(pod, Note::Warning("FailedScheduling"), &message);
    }
}
