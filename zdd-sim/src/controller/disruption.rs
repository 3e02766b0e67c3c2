//! Says in the status of each PodDisruptionBudget how many of its pods may go
//! (`pkg/controller/disruption`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::Context;
use crate::controller::meta::{Round, condition, int_or_percent, replace_condition, selects};
use crate::controller::pods::{has_ended, is_ready};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};

const ALLOWED: &str = "DisruptionAllowed";

/// Tells which budgets have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let budgets = Collection::POD_DISRUPTION_BUDGETS;
    if entry.collection == budgets {
        if entry.change != Change::Deleted {
            push((object.namespace().to_owned(), object.name().to_owned()));
        }
        return;
    }
    let counts = [
        Collection::DEPLOYMENTS,
        Collection::PODS,
        Collection::REPLICA_SETS,
        Collection::STATEFUL_SETS,
    ];
    if counts.contains(&entry.collection) {
        for budget in store.list(&budgets, Some(object.namespace())) {
            push((budget.namespace().to_owned(), budget.name().to_owned()));
        }
    }
}

/// Looks at one budget.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let collection = Collection::POD_DISRUPTION_BUDGETS;
    let Some(budget) = ctx.get(&collection, place) else { return Next::Done };
    let state = State::of(ctx.store, &budget);
    let stamp = ctx.stamp();
    let _gone = ctx.edit(&collection, Part::Status, &budget, |budget| state.write(budget, stamp));
    Next::Done
}

/// What a budget wants and has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    pub(crate) expected: i64,
    pub(crate) desired: i64,
    pub(crate) healthy: i64,
}

impl State {
    /// Counts the pods of a budget as they are now.
    pub(crate) fn of(store: &Store, budget: &Value) -> Self {
        let all = store.list(&Collection::PODS, Some(budget.namespace()));
        let pods: Vec<&Arc<Value>> =
            all.filter(|pod| covers(budget, pod) && !has_ended(pod)).collect();
        let healthy = pods.iter().filter(|pod| !pod.is_terminating() && is_ready(pod)).count();
        let (expected, desired) = wanted(store, &budget["spec"], &pods);
        Self { expected, desired, healthy: i64::try_from(healthy).unwrap_or(i64::MAX) }
    }

    /// How many pods may go.
    pub(crate) fn allowed(self) -> i64 {
        if self.expected > 0 { (self.healthy - self.desired).max(0) } else { 0 }
    }

    fn write(self, budget: &mut Value, stamp: Value) {
        let generation = budget.generation();
        let status = &mut budget["status"];
        status["currentHealthy"] = self.healthy.into();
        status["desiredHealthy"] = self.desired.into();
        status["disruptionsAllowed"] = self.allowed().into();
        status["expectedPods"] = self.expected.into();
        status["observedGeneration"] = generation.into();
        let (word, reason) = match self.allowed() {
            1.. => ("True", "SufficientPods"),
            _ => ("False", "InsufficientPods"),
        };
        let old = condition(status, ALLOWED).filter(|old| old["status"] == word);
        let since = old.map_or(stamp, |old| old["lastTransitionTime"].clone());
        let new = json!({
            "type": ALLOWED,
            "status": word,
            "reason": reason,
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": since,
        });
        if condition(status, ALLOWED) != Some(&new) {
            replace_condition(status, new);
        }
    }
}

/// Tells whether a budget is about a pod.
pub(crate) fn covers(budget: &Value, pod: &Value) -> bool {
    selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
}

/// How many pods there should be, and how many of them healthy.
fn wanted(store: &Store, spec: &Value, pods: &[&Arc<Value>]) -> (i64, i64) {
    let present = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if let Some(most) = spec.get("maxUnavailable").filter(|most| !most.is_null()) {
        let expected = scale(store, pods);
        let most = int_or_percent(most, expected, Round::Up).unwrap_or_default();
        return (expected, (expected - most).max(0));
    }
    let least = &spec["minAvailable"];
    if let Some(least) = least.as_i64() {
        return (present, least);
    }
    let expected = scale(store, pods);
    (expected, int_or_percent(least, expected, Round::Up).unwrap_or_default())
}

/// The replicas of everything that controls one of the pods.
fn scale(store: &Store, pods: &[&Arc<Value>]) -> i64 {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods {
        if let Some((uid, replicas)) = controller(store, pod) {
            scales.insert(uid, replicas);
        }
    }
    scales.values().sum()
}

/// The uid and the replicas of what controls an object; of a ReplicaSet's Deployment in its place.
fn controller(store: &Store, object: &Value) -> Option<(String, i64)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let collection = match owner["kind"].as_str()? {
        "Deployment" => Collection::DEPLOYMENTS,
        "ReplicaSet" => Collection::REPLICA_SETS,
        "StatefulSet" => Collection::STATEFUL_SETS,
        _ => return None,
    };
    let owner = store.get(&collection, object.namespace(), owner["name"].as_str()?)?;
    let above = controller(store, owner);
    above.or_else(|| Some((owner.uid().to_owned(), owner.int("/spec/replicas").unwrap_or(1))))
}
