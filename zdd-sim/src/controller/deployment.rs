//! The Deployment controller (pkg/controller/deployment): which ReplicaSets
//! exist, and how many pods each of them has.

mod recreate;
mod replica_sets;
mod rolling;
mod scale;
mod spec;
mod status;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::collection::Collection;
use crate::controller::context::{Context, Note};
use crate::controller::meta::{controller_name, selects};
use crate::object::Object;
use crate::store::{Change, Entry, Part, Place, Store};
use spec::{Spec, Strategy};

pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// Tells which Deployments have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let place = |name: &str| (object.namespace().to_owned(), name.to_owned());
    if entry.collection == Collection::DEPLOYMENTS {
        if entry.change != Change::Deleted {
            push(place(object.name()));
        }
    } else if entry.collection == Collection::REPLICA_SETS {
        if let Some(name) = controller_name(object, "Deployment") {
            push(place(name));
        } else if object.controller_uid().is_none() {
            for deployment in store.list(&Collection::DEPLOYMENTS, Some(object.namespace())) {
                if selects(&deployment["spec"]["selector"], &object["metadata"]["labels"]) {
                    push(place(deployment.name()));
                }
            }
        }
    } else if entry.collection == Collection::PODS
        && entry.change == Change::Deleted
        && let Some(owner) = controller_name(object, "ReplicaSet")
        && let Some(owner) = store.get(&Collection::REPLICA_SETS, object.namespace(), owner)
        && let Some(name) = controller_name(owner, "Deployment")
    {
        // Recreate waits for the last old pod to be gone.
        push(place(name));
    }
}

/// Looks at one Deployment; returns after which time it wants to look again.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Option<Duration> {
    let deployment = ctx.get(&Collection::DEPLOYMENTS, place)?;
    let spec = Spec::read(&deployment);
    let selector = &deployment["spec"]["selector"];
    if selector["matchLabels"].as_object().is_none_or(serde_json::Map::is_empty)
        && selector["matchExpressions"].as_array().is_none_or(Vec::is_empty)
    {
        return None;
    }
    let mut rollout = Rollout::new(ctx, deployment, spec);
    if rollout.deployment.is_terminating() {
        rollout.sync_revision(replica_sets::Missing::Leave);
        return rollout.sync_status();
    }
    rollout.check_paused_conditions();
    if rollout.spec.paused {
        return rollout.sync();
    }
    rollout.sync_revision(replica_sets::Missing::Leave);
    if rollout.is_scaling_event() {
        return rollout.sync();
    }
    match rollout.spec.strategy {
        Strategy::Recreate => rollout.recreate(),
        Strategy::RollingUpdate => rollout.roll(),
    }
}

/// One Deployment with its ReplicaSets, during one look at it.
#[derive(Debug)]
struct Rollout<'a, 'c> {
    ctx: &'a mut Context<'c>,
    deployment: Arc<Value>,
    spec: Spec,
    /// The ReplicaSet whose template is the Deployment's.
    new: Option<Arc<Value>>,
    /// The others, by creation: the order in which they shrink.
    old: Vec<Arc<Value>>,
}

impl Rollout<'_, '_> {
    /// Scales while paused or after an edit of `replicas`, without any progress of the rollout.
    fn sync(&mut self) -> Option<Duration> {
        self.sync_revision(replica_sets::Missing::Leave);
        self.scale();
        if self.spec.paused {
            self.clean_up();
        }
        self.sync_status()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    /// Scales a ReplicaSet and keeps its annotations current (`scaleReplicaSet`).
    ///
    /// Returns whether its size changed.
    fn scale_to(&mut self, which: Which, size: i64) -> bool {
        let Some(set) = self.which(which).cloned() else { return false };
        let (desired, max) = (self.spec.replicas, self.spec.replicas + self.spec.max_surge);
        let before = replicas(&set);
        let annotated = replica_sets::desired(&set) == Some(desired)
            && replica_sets::max_replicas(&set) == Some(max);
        if before == size && annotated {
            return false;
        }
        let written = self.ctx.edit(&Collection::REPLICA_SETS, Part::Main, &set, |set| {
            set["spec"]["replicas"] = size.into();
            replica_sets::annotate_replicas(set, desired, max);
        });
        if let Some(written) = written {
            self.put(which, written);
        }
        if before == size {
            return false;
        }
        let direction = if size > before { "up" } else { "down" };
        let message =
            format!("Scaled {direction} replica set {} from {before} to {size}", set.name());
        self.ctx.event(&self.deployment, Note::Normal("ScalingReplicaSet"), &message);
        true
    }

    fn which(&self, which: Which) -> Option<&Arc<Value>> {
        match which {
            Which::New => self.new.as_ref(),
            Which::Old(index) => self.old.get(index),
        }
    }

    fn put(&mut self, which: Which, set: Arc<Value>) {
        match which {
            Which::New => self.new = Some(set),
            Which::Old(index) => self.old[index] = set,
        }
    }
}

/// Names a ReplicaSet of a rollout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    New,
    Old(usize),
}

/// Returns the wanted size of a ReplicaSet.
fn replicas(set: &Value) -> i64 {
    set.int("/spec/replicas").unwrap_or(1)
}

/// Returns a count of a ReplicaSet's status.
fn count(set: &Value, key: &str) -> i64 {
    set["status"][key].as_i64().unwrap_or_default()
}
