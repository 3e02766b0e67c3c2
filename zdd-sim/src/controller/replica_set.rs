//! The ReplicaSet controller (pkg/controller/replicaset): keeps the wanted
//! number of pods.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::{Context, Note};
use crate::controller::meta::{
    condition, controller_name, controller_ref, remove_condition, replace_condition, selects,
    suffix,
};
use crate::controller::pods::{
    deletion_order, from_template, is_active, is_available, is_ready, is_terminating,
    next_available,
};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};

/// At most so many pods are created or deleted in one go (`BurstReplicas`).
const BURST: usize = 500;

/// Tells which ReplicaSets have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let place = |name: &str| (object.namespace().to_owned(), name.to_owned());
    if entry.collection == Collection::REPLICA_SETS {
        if entry.change != Change::Deleted {
            push(place(object.name()));
        }
    } else if entry.collection == Collection::PODS {
        let before = entry.before.as_ref().filter(|before| {
            before["metadata"]["ownerReferences"] != object["metadata"]["ownerReferences"]
        });
        if let Some(name) = before.and_then(|before| controller_name(before, "ReplicaSet")) {
            push(place(name));
        }
        if let Some(name) = controller_name(object, "ReplicaSet") {
            push(place(name));
        } else if object.controller_uid().is_none() && entry.change != Change::Deleted {
            for set in store.list(&Collection::REPLICA_SETS, Some(object.namespace())) {
                if selects(&set["spec"]["selector"], &object["metadata"]["labels"]) {
                    push(place(set.name()));
                }
            }
        }
    }
}

/// Looks at one ReplicaSet.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(set) = ctx.get(&Collection::REPLICA_SETS, place) else { return Next::Done };
    let owner = controller_ref(&set, "apps/v1", "ReplicaSet");
    let pods = ctx.claim(&Collection::PODS, &set, &owner);
    let terminating = pods.iter().filter(|pod| is_terminating(pod)).count();
    let active: Vec<Arc<Value>> = pods.into_iter().filter(|pod| is_active(pod)).collect();
    let wanted = set.int("/spec/replicas").unwrap_or(1);
    let failure =
        if set.is_terminating() { None } else { manage(ctx, &set, &owner, &active, wanted).err() };
    let min_ready = set.int("/spec/minReadySeconds").unwrap_or_default();
    let now = ctx.time();
    write_status(ctx, &set, (&active, terminating, wanted), failure.as_deref());
    if failure.is_some() {
        return Next::Retry;
    }
    Next::after(next_available(active.iter().map(|pod| &**pod), min_ready, now))
}

/// Creates or deletes pods; an error is the text of the first failure.
fn manage(
    ctx: &mut Context<'_>,
    set: &Arc<Value>,
    owner: &Value,
    active: &[Arc<Value>],
    wanted: i64,
) -> Result<(), String> {
    let wanted = usize::try_from(wanted).unwrap_or_default();
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        return create_slowly(missing, |_| create(ctx, set, owner));
    }
    let excess = (active.len() - wanted).min(BURST);
    if excess == 0 {
        return Ok(());
    }
    let mut failure = Ok(());
    for pod in pods_to_delete(ctx, set, active, excess) {
        match ctx.delete(&Collection::PODS, &pod, None) {
            Ok(()) => {
                let message = format!("Deleted pod: {}", pod.name());
                ctx.event(set, Note::Normal("SuccessfulDelete"), &message);
            }
            Err(crate::store::StoreError::NotFound { .. }) => {}
            Err(error) => failure = failure.and(Err(error.to_string())),
        }
    }
    failure
}

/// Calls `create` in batches of 1, 2, 4, …; a failure ends it after its batch, so that a quota
/// that is used up is not asked for each pod (`slowStartBatch`).
pub(crate) fn create_slowly(
    count: usize,
    mut create: impl FnMut(usize) -> Result<(), String>,
) -> Result<(), String> {
    let (mut done, mut batch) = (0, 1);
    while done < count {
        let end = (done + batch).min(count);
        let mut failure = Ok(());
        for index in done..end {
            failure = failure.and(create(index));
        }
        failure?;
        done = end;
        batch *= 2;
    }
    Ok(())
}

fn create(ctx: &mut Context<'_>, set: &Arc<Value>, owner: &Value) -> Result<(), String> {
    let base = format!("{}-", set.name());
    let name = format!("{base}{}", suffix(ctx.store.random()));
    let mut pod = from_template(set, &set["spec"]["template"], &name, owner);
    pod["metadata"]["generateName"] = base.into();
    match ctx.create(&Collection::PODS, pod) {
        Ok(pod) => {
            let message = format!("Created pod: {}", pod.name());
            ctx.event(set, Note::Normal("SuccessfulCreate"), &message);
            Ok(())
        }
        Err(error) => {
            let message = format!("Error creating: {error}");
            ctx.event(set, Note::Warning("FailedCreate"), &message);
            Err(error.to_string())
        }
    }
}

/// Chooses the pods to delete; those on a node with many pods of the same Deployment come before
/// the others.
fn pods_to_delete(
    ctx: &Context<'_>,
    set: &Value,
    active: &[Arc<Value>],
    excess: usize,
) -> Vec<Arc<Value>> {
    let mut ordered: Vec<Arc<Value>> = active.to_vec();
    if excess < active.len() {
        let per_node = related_per_node(ctx, set);
        let doubled = |pod: &Value| {
            let node = pod.text("/spec/nodeName").unwrap_or_default();
            per_node.get(node).copied().unwrap_or_default()
        };
        let now = ctx.time();
        ordered.sort_by(|a, b| deletion_order((a, doubled(a)), (b, doubled(b)), now));
    }
    ordered.truncate(excess);
    ordered
}

fn related_per_node(ctx: &Context<'_>, set: &Value) -> HashMap<String, usize> {
    let sets = match set.controller_uid() {
        Some(owner) => ctx.controlled(&Collection::REPLICA_SETS, owner),
        None => ctx
            .get(&Collection::REPLICA_SETS, &(set.namespace().to_owned(), set.name().to_owned()))
            .into_iter()
            .collect(),
    };
    let mut per_node = HashMap::new();
    for related in sets {
        for pod in ctx.controlled(&Collection::PODS, related.uid()) {
            if let Some(node) = pod.text("/spec/nodeName").filter(|_| is_active(&pod)) {
                *per_node.entry(node.to_owned()).or_default() += 1;
            }
        }
    }
    per_node
}

fn write_status(
    ctx: &mut Context<'_>,
    set: &Arc<Value>,
    (active, terminating, wanted): (&[Arc<Value>], usize, i64),
    failure: Option<&str>,
) {
    let now = ctx.time();
    let min_ready = set.int("/spec/minReadySeconds").unwrap_or_default();
    let template = set["spec"]["template"]["metadata"]["labels"].as_object();
    let labelled = |pod: &Value| {
        let labels = &pod["metadata"]["labels"];
        template.into_iter().flatten().all(|(key, value)| labels[key] == *value)
    };
    let count = |test: &dyn Fn(&Value) -> bool| active.iter().filter(|pod| test(pod)).count();
    let mut status = json!({
        "replicas": active.len(),
        "observedGeneration": set.generation(),
        "terminatingReplicas": terminating,
    });
    for (key, number) in [
        ("fullyLabeledReplicas", count(&labelled)),
        ("readyReplicas", count(&is_ready)),
        ("availableReplicas", count(&|pod| is_available(pod, min_ready, now))),
    ] {
        if number > 0 {
            status[key] = number.into();
        }
    }
    if let Some(conditions) = set["status"].get("conditions") {
        status["conditions"] = conditions.clone();
    }
    let known = condition(&set["status"], "ReplicaFailure").is_some();
    match failure {
        Some(message) if !known => {
            let grows = i64::try_from(active.len()).is_ok_and(|count| count < wanted);
            let condition = json!({
                "type": "ReplicaFailure",
                "status": "True",
                "reason": if grows { "FailedCreate" } else { "FailedDelete" },
                "message": message,
                "lastTransitionTime": ctx.stamp(),
            });
            replace_condition(&mut status, condition);
        }
        None if known => remove_condition(&mut status, "ReplicaFailure"),
        Some(_) | None => {}
    }
    if status != set["status"] {
        let _gone = ctx.edit(&Collection::REPLICA_SETS, Part::Status, set, |object| {
            object["status"] = status;
        });
    }
}
