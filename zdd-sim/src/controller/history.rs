//! ControllerRevisions: the history of StatefulSets and DaemonSets
//! (pkg/controller/history).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::context::Context;
use crate::controller::meta::{Fnv, controller_ref, safe_encode};
use crate::object::Object;
use crate::store::Part;

const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// The revisions of one owner, the oldest first.
#[derive(Debug)]
pub(crate) struct History {
    revisions: Vec<Arc<Value>>,
}

impl History {
    pub(crate) fn of(ctx: &Context<'_>, owner: &Value) -> Self {
        let mut revisions = ctx.controlled(&Collection::CONTROLLER_REVISIONS, owner.uid());
        revisions.sort_by_key(|revision| (number(revision), revision.name().to_owned()));
        Self { revisions }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Value>> {
        self.revisions.iter().find(|revision| revision.name() == name)
    }

    /// Returns the revision of the owner's template: the one that has it, raised to the newest, or
    /// a new one. `None` when it could not be written; the next look tries again.
    pub(crate) fn update(
        &mut self,
        ctx: &mut Context<'_>,
        owner: &Value,
        (api_version, kind): (&str, &str),
    ) -> Option<Arc<Value>> {
        let data = data(owner);
        let newest = self.revisions.last().map_or(0, |revision| number(revision));
        let equal = self.revisions.iter().rposition(|revision| revision["data"] == data);
        if let Some(index) = equal {
            let revision = Arc::clone(&self.revisions[index]);
            if index + 1 == self.revisions.len() {
                return Some(revision);
            }
            let edit = |object: &mut Value| object["revision"] = (newest + 1).into();
            let raised =
                ctx.edit(&Collection::CONTROLLER_REVISIONS, Part::Main, &revision, edit)?;
            self.revisions.remove(index);
            self.revisions.push(Arc::clone(&raised));
            return Some(raised);
        }
        let mut hash = Fnv::new();
        hash.json(&data);
        let collisions = owner.int("/status/collisionCount").unwrap_or_default();
        if collisions > 0 {
            hash.bytes(&collisions.to_le_bytes());
        }
        let hash = safe_encode(hash.finish());
        let mut labels = owner["spec"]["template"]["metadata"]["labels"].clone();
        labels[HASH_LABEL] = hash.clone().into();
        let revision = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": format!("{}-{hash}", owner.name()),
                "namespace": owner.namespace(),
                "labels": labels,
                "annotations": owner["metadata"].get("annotations").cloned().unwrap_or(json!({})),
                "ownerReferences": [controller_ref(owner, api_version, kind)],
            },
            "data": data,
            "revision": newest + 1,
        });
        let created = ctx.create(&Collection::CONTROLLER_REVISIONS, revision).ok()?;
        self.revisions.push(Arc::clone(&created));
        Some(created)
    }

    /// Removes the oldest revisions that nobody uses, beyond the history that is kept.
    pub(crate) fn truncate(
        &self,
        ctx: &mut Context<'_>,
        owner: &Value,
        is_live: impl Fn(&Value) -> bool,
    ) {
        let limit = owner.int("/spec/revisionHistoryLimit").unwrap_or(10);
        let dead: Vec<_> = self.revisions.iter().filter(|revision| !is_live(revision)).collect();
        let excess = dead.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        for revision in dead.into_iter().take(excess) {
            // Someone else removed it: what was wanted.
            let _gone = ctx.delete(&Collection::CONTROLLER_REVISIONS, revision, None);
        }
    }
}

/// Returns the hash of a revision.
pub(crate) fn hash(revision: &Value) -> &str {
    revision.label(HASH_LABEL).unwrap_or_default()
}

/// Returns the owner's template at a revision.
pub(crate) fn template(revision: &Value) -> Value {
    let mut template = revision["data"]["spec"]["template"].clone();
    crate::controller::meta::remove(&mut template, "$patch");
    template
}

fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

fn number(revision: &Value) -> i64 {
    revision["revision"].as_i64().unwrap_or_default()
}
