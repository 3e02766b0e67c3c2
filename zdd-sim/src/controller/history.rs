//! ControllerRevisions: the history of StatefulSets and DaemonSets
//! (pkg/controller/history).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::collection::Collection;
use crate::controller::context::{Context, WriteError};
use crate::controller::meta::{Fnv, safe_encode};
use crate::object::Object;
use crate::store::{Part, StoreError};

/// The two kinds that keep such a history, each in its own way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keeper {
    DaemonSet,
    StatefulSet,
}

impl Keeper {
    fn label(self) -> &'static str {
        match self {
            Self::DaemonSet => "controller-revision-hash",
            Self::StatefulSet => "controller.kubernetes.io/hash",
        }
    }

    /// Hashes what a revision is of. One hashes the template, the other what is stored of it, so
    /// that two owners of one name and one template have revisions of different names.
    fn hash(self, owner: &Value, data: &Value, collisions: Option<i64>) -> String {
        let mut hash = Fnv::new();
        match self {
            Self::DaemonSet => hash.json(&owner["spec"]["template"]),
            Self::StatefulSet => hash.json(data),
        }
        if let Some(collisions) = collisions {
            hash.bytes(&collisions.to_le_bytes());
        }
        safe_encode(hash.finish())
    }
}

/// The revisions of one owner, the oldest first.
#[derive(Debug)]
pub(crate) struct History {
    keeper: Keeper,
    revisions: Vec<Arc<Value>>,
    /// How many names were taken by revisions of others.
    collisions: Option<i64>,
}

impl History {
    /// Collects what `owner` controls, after adopting what an owner before it has left behind.
    pub(crate) fn of(
        ctx: &mut Context<'_>,
        keeper: Keeper,
        owner: &Value,
        owner_ref: &Value,
    ) -> Self {
        let mut revisions = ctx.claim(&Collection::CONTROLLER_REVISIONS, owner, owner_ref);
        revisions.sort_by_key(|revision| (number(revision), revision.name().to_owned()));
        Self { keeper, revisions, collisions: owner.int("/status/collisionCount") }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Value>> {
        self.revisions.iter().find(|revision| revision.name() == name)
    }

    pub(crate) fn collisions(&self) -> i64 {
        self.collisions.unwrap_or_default()
    }

    /// Returns the revision of the owner's template: the one that has it, raised to the newest, or
    /// a new one. `None` when it could not be written; the next look tries again.
    pub(crate) fn update(
        &mut self,
        ctx: &mut Context<'_>,
        owner: &Value,
        owner_ref: &Value,
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
        let revision = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "namespace": owner.namespace(),
                "labels": owner["spec"]["template"]["metadata"]["labels"],
                "annotations": owner["metadata"].get("annotations").cloned().unwrap_or(json!({})),
                "ownerReferences": [owner_ref],
            },
            "data": data,
            "revision": newest + 1,
        });
        let created = self.create(ctx, owner, revision)?;
        self.revisions.push(Arc::clone(&created));
        Some(created)
    }

    /// Creates a revision under the first name that no other one has.
    ///
    /// A name that is taken by the very same data is as good as created, whoever owns it.
    fn create(
        &mut self,
        ctx: &mut Context<'_>,
        owner: &Value,
        mut revision: Value,
    ) -> Option<Arc<Value>> {
        loop {
            let hash = self.keeper.hash(owner, &revision["data"], self.collisions);
            let name = format!("{}-{hash}", owner.name());
            revision["metadata"]["name"] = name.clone().into();
            revision["metadata"]["labels"][self.keeper.label()] = hash.into();
            match ctx.create(&Collection::CONTROLLER_REVISIONS, revision.clone()) {
                Ok(created) => return Some(created),
                Err(WriteError::Store(StoreError::AlreadyExists { .. })) => {}
                Err(_) => return None,
            }
            let place = (owner.namespace().to_owned(), name);
            let found = ctx.get(&Collection::CONTROLLER_REVISIONS, &place)?;
            if found["data"] == revision["data"] {
                return Some(found);
            }
            self.collisions = Some(self.collisions() + 1);
            if self.keeper == Keeper::DaemonSet {
                // The count is in the store before the name is tried: the next look does that.
                let count = self.collisions();
                let _gone = ctx.edit(&Collection::DAEMON_SETS, Part::Status, owner, |owner| {
                    owner["status"]["collisionCount"] = count.into();
                });
                return None;
            }
        }
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

/// Returns the hash of a revision of a DaemonSet: its pods carry it.
pub(crate) fn hash(revision: &Value) -> &str {
    revision.label(Keeper::DaemonSet.label()).unwrap_or_default()
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
