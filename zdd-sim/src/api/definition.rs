//! CustomResourceDefinitions: kinds that come while the server runs.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::resource::{Resource, Resources, ScalePaths, Scope};
use super::status::ApiStatus;
use super::table::Column;
use super::{Core, lock};
use crate::collection::Collection;
use crate::controller::meta::replace_condition;
use crate::object::Object;
use crate::store::{Deletion, Part, Store};

/// Keeps a definition until the objects of its kind are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// `customresourcedefinitions.apiextensions.k8s.io`.
pub(super) fn collection() -> Collection {
    Collection::new("customresourcedefinitions.apiextensions.k8s.io")
}

impl Core {
    /// Serves what the definitions define, when they have changed.
    pub(super) fn follow_definitions(&self) {
        let mut changed = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let empties = self.empties.load(Ordering::Relaxed);
        if !empties && !changed.has_changed().unwrap_or(false) {
            return;
        }
        let mut store = lock(&self.store);
        let definitions: Vec<Arc<Value>> = store.list(&collection(), None).cloned().collect();
        for definition in &definitions {
            establish(&mut store, definition);
        }
        let leaving = definitions.iter().filter(|definition| definition.is_terminating());
        let remain = leaving.filter(|definition| leave(&mut store, definition)).count();
        self.empties.store(remain > 0, Ordering::Relaxed);
        let definitions: Vec<Arc<Value>> = store.list(&collection(), None).cloned().collect();
        // After the writes above: they are no news.
        changed.borrow_and_update();
        let defined: Vec<Resource> =
            definitions.iter().flat_map(|definition| resources(definition)).collect();
        let mut served = self.resources.write().unwrap_or_else(PoisonError::into_inner);
        for gone in served.replace_defined(defined) {
            empty(&mut store, gone.collection());
        }
    }
}

/// Prepares the end of a definition: it stays until the objects of its kind are gone.
pub(super) fn begin_to_leave(store: &mut Store, actor: &Arc<str>, definition: &Value) {
    let stamp = store.clock().stamp();
    let edit = |object: &mut Value| {
        object["metadata"]["finalizers"] = json!([CLEANUP]);
        let pending = json!({
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": stamp,
            "reason": "InstanceDeletionInProgress",
            "message": "CustomResource deletion is in progress",
        });
        replace_condition(&mut object["status"], pending);
    };
    for part in [Part::Main, Part::Status] {
        let place = ("", definition.name());
        if let Err(error) = store.modify(actor, &collection(), part, place, edit) {
            tracing::debug!(%error, "a definition is gone");
        }
    }
}

/// Deletes the objects of a definition that is leaving, and lets it go when there are none; tells
/// whether some remain.
fn leave(store: &mut Store, definition: &Value) -> bool {
    let objects = objects(definition);
    empty(store, &objects);
    if store.list(&objects, None).next().is_some() {
        return true;
    }
    let actor = Arc::from("kube-apiserver");
    let place = ("", definition.name());
    let freed = store.modify(&actor, &collection(), Part::Main, place, |object| {
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != CLEANUP);
        }
    });
    if let Err(error) = freed {
        tracing::debug!(%error, "a definition is gone");
    }
    false
}

/// Where the objects of a definition live: its name says it.
fn objects(definition: &Value) -> Collection {
    Collection::new(definition.name().to_owned())
}

/// Refuses new objects of a kind that is leaving.
///
/// # Errors
/// 403 while its definition waits for the objects that there are.
pub(super) fn check_stays(
    store: &Store,
    resource: &Resource,
    object: &Value,
) -> Result<(), ApiStatus> {
    let definition = store.get(&collection(), "", resource.collection().as_str());
    if !resource.is_custom() || !definition.is_some_and(|it| it.is_terminating()) {
        return Ok(());
    }
    let why = "create not allowed while custom resource definition is terminating".to_owned();
    Err(ApiStatus::forbidden(resource.group_resource(), object.name(), why))
}

/// Says that the names are taken and the kind is served, as two controllers of the server do.
fn establish(store: &mut Store, definition: &Value) {
    let status = &definition["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    if conditions.into_iter().any(|it| it["type"] == "Established") {
        return;
    }
    let stamp = store.clock().stamp();
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": "True",
            "lastTransitionTime": stamp,
            "reason": reason,
            "message": message,
        })
    };
    let mut names = definition["spec"]["names"].clone();
    if names["listKind"].is_null() {
        names["listKind"] = format!("{}List", names["kind"].as_str().unwrap_or_default()).into();
    }
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let stored: Vec<&Value> =
        versions.filter(|it| it["storage"] == true).map(|it| &it["name"]).collect();
    let status = json!({
        "acceptedNames": names,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": stored,
    });
    let actor = Arc::from("kube-apiserver");
    let place = ("", definition.name());
    let told = store.modify(&actor, &collection(), Part::Status, place, |object| {
        object["status"] = status;
    });
    if let Err(error) = told {
        tracing::debug!(%error, "a definition is gone");
    }
}

/// The resources of a definition, one per served version.
fn resources(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<Cow<'static, str>> {
        let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(|word| Cow::Owned(word.to_owned())).collect()
    };
    let names = &spec["names"];
    let scope = if spec["scope"] == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
    let versions = spec["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    let made = served.map(|version| {
        let (group, kind, plural) =
            (text(&spec["group"]), text(&names["kind"]), text(&names["plural"]));
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let columns = columns.filter_map(Column::custom).collect();
        let schema = version["schema"].get("openAPIV3Schema").cloned();
        let has = |name: &str| version["subresources"].get(name).is_some();
        let subresources: &[&str] = match (has("scale"), has("status")) {
            (true, true) => &["status", "scale"],
            (true, false) => &["scale"],
            (false, true) => &["status"],
            (false, false) => &[],
        };
        Resource::custom(&group, &text(&version["name"]), &kind, &plural, scope)
            .defined(columns, schema.map(Arc::new), subresources)
            .scaled(ScalePaths::custom(&version["subresources"]["scale"]))
            .named(
                names["singular"].as_str(),
                list(&names["shortNames"]),
                list(&names["categories"]),
            )
    });
    made.collect()
}

/// Removes the objects of a kind that is no longer served.
fn empty(store: &mut Store, collection: &Collection) {
    let actor = Arc::from("kube-apiserver");
    let objects: Vec<Arc<Value>> = store.list(collection, None).cloned().collect();
    for object in objects {
        let place = (object.namespace(), object.name());
        if object.is_terminating() {
            continue;
        }
        if let Err(error) = store.delete(&actor, collection, place, &Deletion::default()) {
            tracing::debug!(%error, "an object went before its definition");
        }
    }
}

impl Resources {
    /// Takes over what is defined now; returns what is no longer.
    fn replace_defined(&mut self, defined: Vec<Resource>) -> Vec<Arc<Resource>> {
        let gone = self.remove_defined();
        for resource in defined {
            self.add(resource);
        }
        let still = |old: &Resource| self.iter().any(|it| it.collection() == old.collection());
        gone.into_iter().filter(|old| !still(old)).collect()
    }
}
