//! What a controller works with while it looks at one object.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::collection::Collection;
use crate::controller::index::Index;
use crate::controller::meta::{selects, suffix};
use crate::object::Object;
use crate::store::{Deletion, Part, Place, Store, StoreError};

/// Decides whether the API server would take an object that a controller creates.
///
/// Quota, webhooks and Pod Security reach the pods of a Deployment here: the write of the
/// Deployment was accepted long before.
pub trait Admission: fmt::Debug + Send {
    /// Completes the object, or refuses it with the server's message.
    ///
    /// # Errors
    /// The message with which the server refuses, as it stands in conditions and Events.
    fn admit(
        &self,
        store: &Store,
        collection: &Collection,
        object: &mut Value,
    ) -> Result<(), String>;
}

/// Why a controller's write failed, as the text that ends up in conditions.
#[derive(Debug)]
pub(crate) enum WriteError {
    Refused(String),
    Store(StoreError),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) => f.write_str(message),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Admission for Box<dyn Admission> {
    fn admit(
        &self,
        store: &Store,
        collection: &Collection,
        object: &mut Value,
    ) -> Result<(), String> {
        (**self).admit(store, collection, object)
    }
}

/// The store as one controller sees it.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) index: &'a Index,
    pub(crate) admission: Option<&'a dyn Admission>,
    pub(crate) actor: &'a Arc<str>,
    pub(crate) now: Instant,
    pub(crate) writes_events: bool,
}

impl Context<'_> {
    /// Returns the wall clock at this step.
    pub(crate) fn time(&self) -> Timestamp {
        self.store.clock().at(self.now)
    }

    /// Returns the wall clock as Kubernetes writes it.
    pub(crate) fn stamp(&self) -> Value {
        stamp(self.time()).into()
    }

    pub(crate) fn get(&self, collection: &Collection, place: &Place) -> Option<Arc<Value>> {
        self.store.get(collection, &place.0, &place.1).cloned()
    }

    /// Lists the objects of a collection whose controlling owner is `uid`.
    pub(crate) fn controlled(&self, collection: &Collection, uid: &str) -> Vec<Arc<Value>> {
        let dependents = self.index.dependents(uid).filter(|(kind, _)| kind == collection);
        let objects = dependents.filter_map(|(_, place)| self.get(collection, place));
        objects.filter(|object| object.controller_uid() == Some(uid)).collect()
    }

    /// Lists what `owner` controls, after adopting the orphans that its selector matches and
    /// releasing what it no longer matches (`ControllerRefManager`).
    pub(crate) fn claim(
        &mut self,
        collection: &Collection,
        owner: &Value,
        owner_ref: &Value,
    ) -> Vec<Arc<Value>> {
        let selector = &owner["spec"]["selector"];
        let mut claimed = Vec::new();
        for object in self.controlled(collection, owner.uid()) {
            if selects(selector, &object["metadata"]["labels"]) {
                claimed.push(object);
            } else if !owner.is_terminating() && !object.is_terminating() {
                let _gone = self.edit(collection, Part::Main, &object, |object| {
                    if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                        owners.retain(|reference| reference["uid"] != owner["metadata"]["uid"]);
                    }
                });
            }
        }
        if owner.is_terminating() {
            return claimed;
        }
        let orphans: Vec<Place> = self
            .index
            .orphans(collection, owner.namespace())
            .map(|name| (owner.namespace().to_owned(), name.to_owned()))
            .collect();
        for place in orphans {
            let Some(object) = self.get(collection, &place) else { continue };
            if object.is_terminating() || !selects(selector, &object["metadata"]["labels"]) {
                continue;
            }
            let adopted = self.edit(collection, Part::Main, &object, |object| {
                let owners = &mut object["metadata"]["ownerReferences"];
                match owners.as_array_mut() {
                    Some(owners) => owners.push(owner_ref.clone()),
                    None => *owners = json!([owner_ref]),
                }
            });
            claimed.extend(adopted);
        }
        claimed
    }

    /// Creates an object, after admission.
    pub(crate) fn create(
        &mut self,
        collection: &Collection,
        mut object: Value,
    ) -> Result<Arc<Value>, WriteError> {
        if let Some(admission) = self.admission {
            admission.admit(self.store, collection, &mut object).map_err(WriteError::Refused)?;
        }
        self.store.create(self.actor, collection, object).map_err(WriteError::Store)
    }

    /// Changes an object as it is now in the store; `None` when it is gone or another one has its
    /// name.
    pub(crate) fn edit(
        &mut self,
        collection: &Collection,
        part: Part,
        object: &Value,
        edit: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let place = (object.namespace(), object.name());
        let uid = object["metadata"]["uid"].clone();
        let written = self.store.modify(self.actor, collection, part, place, |current| {
            edit(current);
            current["metadata"]["uid"] = uid;
        });
        written.ok()
    }

    /// Deletes an object with its uid as the precondition.
    pub(crate) fn delete(
        &mut self,
        collection: &Collection,
        object: &Value,
        grace_seconds: Option<i64>,
    ) -> Result<(), StoreError> {
        let deletion =
            Deletion { uid: Some(object.uid().to_owned()), grace_seconds, ..Deletion::default() };
        let place = (object.namespace(), object.name());
        self.store.delete(self.actor, collection, place, &deletion).map(drop)
    }

    /// Writes a Kubernetes Event about an object.
    pub(crate) fn event(&mut self, about: &Value, note: Note, message: &str) {
        if !self.writes_events {
            return;
        }
        let (kind, reason) = match note {
            Note::Normal(reason) => ("Normal", reason),
            Note::Warning(reason) => ("Warning", reason),
        };
        let stamp = self.stamp();
        let name = format!("{}.{}", about.name(), suffix(self.store.random()));
        let namespace = match about.namespace() {
            "" => "default",
            namespace => namespace,
        };
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": about.namespace(),
                "name": about.name(),
                "uid": about.uid(),
                "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "reason": reason,
            "message": message,
            "source": {"component": &**self.actor},
            "reportingComponent": &**self.actor,
            "reportingInstance": "",
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": kind,
        });
        // A name that is taken costs one Event, as it would in a real cluster.
        let _taken = self.store.create(self.actor, &Collection::EVENTS, event);
    }
}

/// The type and the reason of an Event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    Normal(&'static str),
    Warning(&'static str),
}

/// Writes a time as Kubernetes does: UTC, whole seconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
