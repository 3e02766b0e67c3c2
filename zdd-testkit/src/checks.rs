//! The safety rules, checked at every event of a run.

mod miscount;

use std::sync::Arc;

use serde_json::Value;
use zdd_core::{Target, WorkloadKind};
use zdd_sim::{Change, Collection, Entry, Object};

use crate::lab::collection;
use miscount::Miscount;

/// The label of the fence on a workload.
const EPOCH: &str = "zdd.dev/epoch";
/// The image that only others set.
const FOREIGN: &str = "web:3";
/// What the driver may write to a workload, besides what the server keeps itself.
const OWNED: [&str; 9] = [
    "/spec/template",
    "/spec/strategy",
    "/spec/updateStrategy",
    "/spec/minReadySeconds",
    "/spec/paused",
    "/metadata/annotations/zdd.dev~1rollout",
    "/metadata/labels/zdd.dev~1epoch",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
];

/// Goes through the log of a run and says what was against the rules.
pub(crate) fn violations(target: &Target, log: &[Entry], driver: &str) -> Vec<String> {
    let mut found = Vec::new();
    let workloads = collection(target.kind);
    let mut epoch = 0;
    let mut desired: Option<i64> = None;
    let mut miscount = Miscount::of(target);
    let (mut begun, mut begun_before_edit) = (false, false);
    for entry in log {
        begun |= entry.collection == Collection::CONFIG_MAPS;
        if entry.collection == workloads && entry.object.name() == target.name {
            if entry.change == Change::Deleted {
                // What happens to the pods of a deleted workload is its deleter's wish.
                return found;
            }
            let replicas = entry.object.int("/spec/replicas");
            let scaled = desired.is_some() && replicas != desired;
            if replicas < desired {
                miscount.scaled_down();
            }
            desired = if scaled { replicas.min(desired) } else { replicas };
            if let (Some(before), true) = (&entry.before, &*entry.actor == driver) {
                owned_fields(before, &entry.object, entry.revision, &mut found);
                if begun_before_edit {
                    foreign_template(before, &entry.object, entry.revision, &mut found);
                }
            }
            let set = entry.before.as_deref().is_none_or(|before| image(before) != FOREIGN);
            if set && image(&entry.object) == FOREIGN {
                // What was there before a rollout began is its baseline, whoever set it.
                begun_before_edit = begun;
            }
            let label = entry.object.label(EPOCH).and_then(|label| label.parse::<u64>().ok());
            if label.is_some_and(|label| label < epoch) {
                found.push(format!("I4: the epoch went back at revision {}", entry.revision));
            }
            epoch = label.unwrap_or(epoch);
        }
        miscount.look(entry);
        if entry.collection == Collection::ENDPOINT_SLICES {
            floor(target, entry, desired, &mut miscount, &mut found);
        }
        if entry.collection == Collection::PODS && &*entry.actor == driver {
            deletes_only_broken_pods(entry, &mut found);
        }
    }
    found
}

/// I1: a Service keeps at least as many ready endpoints as the rollout may leave it.
fn floor(
    target: &Target,
    entry: &Entry,
    desired: Option<i64>,
    miscount: &mut Miscount<'_>,
    found: &mut Vec<String>,
) {
    let ready = |slice: &Value| {
        let endpoints = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
        endpoints.iter().filter(|one| one["conditions"]["ready"] == true).count()
    };
    let Some(before) = entry.before.as_deref() else { return };
    let lacking = usize::from(target.kind == WorkloadKind::StatefulSet);
    let least = desired.and_then(|desired| usize::try_from(desired).ok()).unwrap_or(1);
    let least = least.saturating_sub(lacking);
    let (now, then) = (ready(&entry.object), ready(before));
    if !miscount.excuses(now >= least) && now < least && now < then {
        found.push(format!(
            "I1: ready endpoints fell from {then} to {now} of {least} at revision {}",
            entry.revision
        ));
    }
}

/// What the API server writes by itself.
const BOOKKEEPING: [&str; 2] =
    ["/metadata/generation", "/metadata/annotations/deprecated.daemonset.template.generation"];

/// I9: the driver changes nothing but its own fields.
fn owned_fields(before: &Arc<Value>, after: &Arc<Value>, revision: u64, found: &mut Vec<String>) {
    let strip = |object: &Value| {
        let mut object = object.clone();
        for pointer in OWNED.into_iter().chain(BOOKKEEPING) {
            let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
            let key = key.replace("~1", "/");
            if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
                parent.remove(&key);
            }
        }
        for parent in ["annotations", "labels"] {
            // An empty map is the same as none.
            let empty =
                object["metadata"][parent].as_object().is_some_and(serde_json::Map::is_empty);
            if (empty || object["metadata"][parent].is_null())
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove(parent);
            }
        }
        object
    };
    let (was, is) = (strip(before), strip(after));
    if was != is {
        found.push(format!(
            "I9: the driver wrote foreign fields at revision {revision}: {was} to {is}"
        ));
    }
}

/// I7: the driver replaces the templates that it knows, and no other.
fn foreign_template(before: &Value, after: &Value, revision: u64, found: &mut Vec<String>) {
    let (was, is) = (image(before), image(after));
    if was != is && was == FOREIGN && is != FOREIGN {
        found.push(format!("I7: the driver overwrote {was} with {is} at revision {revision}"));
    }
}

fn image(workload: &Value) -> &str {
    workload.text("/spec/template/spec/containers/0/image").unwrap_or_default()
}

/// I3: the driver never takes a pod away that serves.
fn deletes_only_broken_pods(entry: &Entry, found: &mut Vec<String>) {
    let before = entry.before.as_deref().unwrap_or(&entry.object);
    let conditions = before["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    if ready {
        found.push(format!("I3: the driver deleted ready pod {}", before.name()));
    }
}
