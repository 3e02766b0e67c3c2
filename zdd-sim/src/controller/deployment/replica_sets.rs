//! Finds, creates, annotates and removes the ReplicaSets of a Deployment.

use std::sync::Arc;

use serde_json::{Value, json};

use super::spec::{Spec, Strategy};
use super::{HASH_LABEL, REVISION, Rollout, replicas};
use crate::collection::Collection;
use crate::controller::context::{Context, Note, WriteError};
use crate::controller::meta::{
    Fnv, condition, controller_ref, remove, replace_condition, safe_encode, same_template,
};
use crate::object::Object;
use crate::store::{Part, StoreError};

const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Older entries of the history are dropped beyond so many letters.
const HISTORY_LETTERS: usize = 2000;

/// Annotations of a Deployment that its ReplicaSets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// What to do when no ReplicaSet has the Deployment's template.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    Create,
    Leave,
}

impl<'a, 'c> Rollout<'a, 'c> {
    pub(super) fn new(ctx: &'a mut Context<'c>, deployment: Arc<Value>, spec: Spec) -> Self {
        let owner = controller_ref(&deployment, "apps/v1", "Deployment");
        let mut sets = ctx.claim(&Collection::REPLICA_SETS, &deployment, &owner);
        sets.sort_by(|a, b| created(a).cmp(&created(b)));
        let template = &deployment["spec"]["template"];
        let new = sets.iter().position(|set| same_template(&set["spec"]["template"], template));
        let new = new.map(|index| sets.remove(index));
        Self { ctx, deployment, spec, new, old: sets }
    }

    /// Brings revision and annotations of the new ReplicaSet up to date, and creates it if asked
    /// (`getAllReplicaSetsAndSyncRevision`).
    pub(super) fn sync_revision(&mut self, missing: Missing) {
        let revision = self.old.iter().map(|set| revision(set)).max().unwrap_or_default() + 1;
        match &self.new {
            Some(set) => {
                let set = Arc::clone(set);
                self.sync_existing(&set, revision);
            }
            None if missing == Missing::Create => self.create(revision),
            None => {}
        }
    }

    fn sync_existing(&mut self, set: &Arc<Value>, revision: i64) {
        let mut copy = (**set).clone();
        annotate(&self.deployment, &mut copy, revision);
        if self.spec.min_ready_seconds != copy.int("/spec/minReadySeconds").unwrap_or_default() {
            copy["spec"]["minReadySeconds"] = self.spec.min_ready_seconds.into();
        }
        if copy != **set {
            let written = self.ctx.edit(&Collection::REPLICA_SETS, Part::Main, set, |set| {
                *set = copy;
            });
            self.new = written.or_else(|| self.new.take());
            return;
        }
        let found = self.spec.progress_deadline.is_some()
            && condition(&self.deployment["status"], "Progressing").is_none();
        let note = found.then(|| {
            let message = format!("Found new replica set \"{}\"", set.name());
            ("True", "FoundNewReplicaSet", message)
        });
        self.record(set.annotation(REVISION).map(str::to_owned), note);
    }

    fn create(&mut self, revision: i64) {
        let mut set = self.build(revision);
        let size = self.initial_size();
        set["spec"]["replicas"] = size.into();
        annotate_replicas(&mut set, self.spec.replicas, self.spec.replicas + self.spec.max_surge);
        let name = set.name().to_owned();
        match self.ctx.create(&Collection::REPLICA_SETS, set) {
            Ok(set) => {
                if size > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {size}");
                    let note = Note::Normal("ScalingReplicaSet");
                    self.ctx.event(&self.deployment, note, &message);
                }
                self.new = Some(set);
                let message = format!("Created new replica set \"{name}\"");
                let note = ("True", "NewReplicaSetCreated", message);
                let note = self.spec.progress_deadline.is_some().then_some(note);
                self.record(Some(revision.to_string()), note);
            }
            Err(WriteError::Store(StoreError::AlreadyExists { .. })) => self.count_collision(),
            Err(error) => {
                let message = format!("Failed to create new replica set \"{name}\": {error}");
                let note = ("False", "ReplicaSetCreateError", message.clone());
                let note = self.spec.progress_deadline.is_some().then_some(note);
                self.record(None, note);
                self.ctx.event(&self.deployment, Note::Warning("ReplicaSetCreateError"), &message);
            }
        }
    }

    /// Another object has the name: the next look tries the hash with another salt.
    fn count_collision(&mut self) {
        let written =
            self.ctx.edit(&Collection::DEPLOYMENTS, Part::Status, &self.deployment, |object| {
                let count = object.int("/status/collisionCount").unwrap_or_default();
                object["status"]["collisionCount"] = (count + 1).into();
            });
        self.deployment = written.unwrap_or_else(|| Arc::clone(&self.deployment));
    }

    fn build(&self, revision: i64) -> Value {
        let deployment = &self.deployment;
        let mut template = deployment["spec"]["template"].clone();
        let mut hash = Fnv::new();
        hash.json(&template);
        if let Some(count) = deployment.int("/status/collisionCount") {
            hash.bytes(&count.to_le_bytes());
        }
        let hash = safe_encode(hash.finish());
        template["metadata"]["labels"][HASH_LABEL] = hash.clone().into();
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH_LABEL] = hash.clone().into();
        let labels = template["metadata"]["labels"].clone();
        let mut set = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{hash}", deployment.name()),
                "namespace": deployment.namespace(),
                "labels": labels,
                "ownerReferences": [controller_ref(deployment, "apps/v1", "Deployment")],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
            "status": {"replicas": 0},
        });
        if self.spec.min_ready_seconds > 0 {
            set["spec"]["minReadySeconds"] = self.spec.min_ready_seconds.into();
        }
        annotate(deployment, &mut set, revision);
        set
    }

    fn initial_size(&self) -> i64 {
        match self.spec.strategy {
            Strategy::Recreate => self.spec.replicas,
            Strategy::RollingUpdate => {
                let total = self.old.iter().map(|set| replicas(set)).sum();
                super::rolling::new_size(&self.spec, total, 0)
            }
        }
    }

    /// Writes the revision on the Deployment and a Progressing condition, if either is new.
    ///
    /// It goes through the status, so that it does not count as a generation.
    fn record(&mut self, revision: Option<String>, note: Option<(&str, &str, String)>) {
        let known = self.deployment.annotation(REVISION).map(str::to_owned);
        let revision = revision.filter(|revision| known.as_ref() != Some(revision));
        let repeated = note.as_ref().is_some_and(|(status, reason, _)| {
            condition(&self.deployment["status"], "Progressing")
                .is_some_and(|old| old["status"] == *status && old["reason"] == *reason)
        });
        let note = note.filter(|_| !repeated);
        if revision.is_none() && note.is_none() {
            return;
        }
        let stamp = self.ctx.stamp();
        let written =
            self.ctx.edit(&Collection::DEPLOYMENTS, Part::Status, &self.deployment, |object| {
                if let Some(revision) = revision {
                    object["metadata"]["annotations"][REVISION] = revision.into();
                }
                if let Some((status, reason, message)) = note {
                    set_condition(
                        &mut object["status"],
                        ("Progressing", status, reason, &message),
                        &stamp,
                    );
                }
            });
        self.deployment = written.unwrap_or_else(|| Arc::clone(&self.deployment));
    }

    /// Removes the oldest ReplicaSets that have no pods, beyond the history that is kept.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.spec.history_limit else { return };
        let mut old: Vec<_> =
            self.old.iter().filter(|set| !set.is_terminating()).cloned().collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        old.sort_by_key(|set| revision(set));
        for set in old.iter().take(excess) {
            let is_idle = replicas(set) == 0
                && super::count(set, "replicas") == 0
                && set.generation() <= super::count(set, "observedGeneration");
            if is_idle {
                // A ReplicaSet that someone else removed is what was wanted.
                let _gone = self.ctx.delete(&Collection::REPLICA_SETS, set, None);
            }
        }
    }
}

/// Sets a condition unless status and reason stay (`SetDeploymentCondition`); the transition time
/// stays while the status does.
pub(super) fn set_condition(
    status: &mut Value,
    (kind, truth, reason, message): (&str, &str, &str, &str),
    stamp: &Value,
) {
    let old = condition(status, kind);
    if old.is_some_and(|old| old["status"] == truth && old["reason"] == reason) {
        return;
    }
    let since = old.filter(|old| old["status"] == truth).map(|old| &old["lastTransitionTime"]);
    let new = json!({
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": message,
        "lastUpdateTime": stamp,
        "lastTransitionTime": since.unwrap_or(stamp),
    });
    replace_condition(status, new);
}

/// Copies the Deployment's annotations and counts the revision (`SetNewReplicaSetAnnotations`).
fn annotate(deployment: &Value, set: &mut Value, new: i64) {
    for (key, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            set["metadata"]["annotations"][key] = value.clone();
        }
    }
    let old = set.annotation(REVISION).map(str::to_owned);
    // A revision that is no number is left alone.
    let number = old.as_deref().map_or(Ok(0), str::parse::<i64>);
    if !number.is_ok_and(|number| number < new) {
        return;
    }
    set["metadata"]["annotations"][REVISION] = new.to_string().into();
    if let Some(old) = old {
        let history = set.annotation(HISTORY).unwrap_or_default();
        let mut entries: Vec<&str> = history.split(',').filter(|entry| !entry.is_empty()).collect();
        entries.push(&old);
        while entries.len() > 1
            && entries.iter().map(|entry| entry.len() + 1).sum::<usize>() > HISTORY_LETTERS
        {
            entries.remove(0);
        }
        let history = entries.join(",");
        set["metadata"]["annotations"][HISTORY] = history.into();
    }
}

pub(super) fn annotate_replicas(set: &mut Value, desired: i64, max: i64) {
    set["metadata"]["annotations"][DESIRED] = desired.to_string().into();
    set["metadata"]["annotations"][MAX] = max.to_string().into();
}

pub(super) fn desired(set: &Value) -> Option<i64> {
    set.annotation(DESIRED)?.parse().ok()
}

pub(super) fn max_replicas(set: &Value) -> Option<i64> {
    set.annotation(MAX)?.parse().ok()
}

fn revision(set: &Value) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Creation orders ReplicaSets; times have whole seconds, so the name decides within one.
pub(super) fn created(set: &Value) -> (&str, &str) {
    (set.text("/metadata/creationTimestamp").unwrap_or_default(), set.name())
}

/// Removes the conditions that are absent without a deadline.
pub(super) fn forget_progress(status: &mut Value) {
    crate::controller::meta::remove_condition(status, "Progressing");
    if status["conditions"].is_null() {
        remove(status, "conditions");
    }
}
