//! What every namespace has, and how one empties when it is deleted.

use serde_json::json;

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::Context;
use crate::object::Object;
use crate::store::{Entry, Part, Place};

/// Marks a namespace whose object was just removed.
const GONE: &str = "gone";

/// Tells which namespaces have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    if entry.collection == Collection::NAMESPACES {
        let is_gone = entry.change == crate::store::Change::Deleted;
        let kind = if is_gone { GONE } else { "" };
        push((kind.to_owned(), object.name().to_owned()));
    } else if entry.change == crate::store::Change::Deleted && !object.namespace().is_empty() {
        // The last object of a namespace that terminates may just have gone, and the default
        // account comes back.
        push((String::new(), object.namespace().to_owned()));
    }
}

/// Looks at one namespace.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(namespace) = ctx.get(&Collection::NAMESPACES, &(String::new(), place.1.clone()))
    else {
        // Whoever writes to the store itself needs no namespace object: only the loss of one
        // empties it.
        if place.0 == GONE {
            empty(ctx, &place.1);
        }
        return Next::Done;
    };
    if !namespace.is_terminating() {
        provide(ctx, namespace.name());
    } else if empty(ctx, namespace.name()) {
        let _gone = ctx.edit(&Collection::NAMESPACES, Part::Main, &namespace, |object| {
            object["spec"]["finalizers"] = json!([]);
            object["metadata"]["finalizers"] = json!([]);
        });
    }
    Next::Done
}

/// Creates the account that pods run under and the authority that they trust.
fn provide(ctx: &mut Context<'_>, namespace: &str) {
    let accounts = Collection::new("serviceaccounts");
    if ctx.store.get(&accounts, namespace, "default").is_none() {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        });
        let _exists = ctx.create(&accounts, account);
    }
    if ctx.store.get(&Collection::CONFIG_MAPS, namespace, "kube-root-ca.crt").is_none() {
        let authority = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": namespace},
            "data": {"ca.crt": ""},
        });
        let _exists = ctx.create(&Collection::CONFIG_MAPS, authority);
    }
}

/// Deletes what is in a namespace; returns whether nothing is left.
fn empty(ctx: &mut Context<'_>, namespace: &str) -> bool {
    let collections: Vec<Collection> = ctx.store.collections().cloned().collect();
    let mut left = 0;
    for collection in collections {
        let objects: Vec<_> = ctx.store.list(&collection, Some(namespace)).cloned().collect();
        for object in objects.iter().filter(|object| object.namespace() == namespace) {
            left += 1;
            if !object.is_terminating() {
                let _gone = ctx.delete(&collection, object, None);
            }
        }
    }
    left == 0
}
