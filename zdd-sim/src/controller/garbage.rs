//! The garbage collector: what happens to objects whose owner goes.
//!
//! Its unit of work is one owner, named by uid: the objects that refer to it are
//! what has to be looked at.

use serde_json::Value;

use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::Context;
use crate::controller::index::Index;
use crate::object::Object;
use crate::store::{Change, Deletion, Entry, Part, Place, Propagation};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Tells which owners have to be looked at after a write; their place is their uid.
pub(crate) fn observe(entry: &Entry, index: &Index, push: &mut dyn FnMut(Place)) {
    let object = &entry.object;
    let is_gone = entry.change == Change::Deleted;
    let waits = is_gone || has_finalizer(object, FOREGROUND) || has_finalizer(object, ORPHAN);
    if waits && (is_gone || object.is_terminating()) {
        push((String::new(), object.uid().to_owned()));
    }
    for owner in owner_uids(object) {
        // Either the owner waits for this one to be gone, or there is no such owner.
        if is_gone || index.find(owner).is_none() {
            push((String::new(), owner.to_owned()));
        }
    }
}

/// Looks at one owner, which may be gone.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let uid = &place.1;
    let dependents: Vec<(Collection, Place)> = ctx.index.dependents(uid).cloned().collect();
    let owner = ctx.index.find(uid).cloned();
    let owner =
        owner.and_then(|(collection, place)| Some((ctx.get(&collection, &place)?, collection)));
    let Some((owner, collection)) = owner else {
        for dependent in &dependents {
            collect(ctx, dependent, uid);
        }
        return Next::Done;
    };
    if !owner.is_terminating() {
        return Next::Done;
    }
    if has_finalizer(&owner, ORPHAN) {
        for (kind, place) in &dependents {
            if let Some(dependent) = ctx.get(kind, place) {
                release(ctx, kind, &dependent, uid);
            }
        }
        drop_finalizer(ctx, &collection, &owner, ORPHAN);
    } else if has_finalizer(&owner, FOREGROUND) {
        let blocking = dependents.iter().filter(|(kind, place)| {
            ctx.get(kind, place).is_some_and(|dependent| blocks(&dependent, uid))
        });
        let blocking = blocking.count();
        for (kind, place) in &dependents {
            if let Some(dependent) = ctx.get(kind, place).filter(|object| !object.is_terminating())
            {
                delete(ctx, kind, &dependent, Propagation::Foreground);
            }
        }
        if blocking == 0 {
            drop_finalizer(ctx, &collection, &owner, FOREGROUND);
        }
    }
    Next::Done
}

/// Deletes an object whose owners are all gone; otherwise it only forgets the one that is.
fn collect(ctx: &mut Context<'_>, (collection, place): &(Collection, Place), gone: &str) {
    let Some(object) = ctx.get(collection, place) else { return };
    let mut others = owner_uids(&object).filter(|uid| *uid != gone);
    if others.any(|uid| ctx.index.find(uid).is_some()) {
        release(ctx, collection, &object, gone);
    } else if !object.is_terminating() {
        delete(ctx, collection, &object, Propagation::Background);
    }
}

fn delete(
    ctx: &mut Context<'_>,
    collection: &Collection,
    object: &Value,
    propagation: Propagation,
) {
    let deletion =
        Deletion { uid: Some(object.uid().to_owned()), propagation, ..Deletion::default() };
    let place = (object.namespace(), object.name());
    // Someone else removed it: what was wanted.
    let _gone = ctx.store.delete(ctx.actor, collection, place, &deletion);
}

fn release(ctx: &mut Context<'_>, collection: &Collection, object: &Value, owner: &str) {
    let _gone = ctx.edit(collection, Part::Main, object, |object| {
        if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
            owners.retain(|reference| reference["uid"] != owner);
        }
    });
}

fn drop_finalizer(ctx: &mut Context<'_>, collection: &Collection, owner: &Value, finalizer: &str) {
    let _gone = ctx.edit(collection, Part::Main, owner, |owner| {
        if let Some(finalizers) = owner["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|other| other != finalizer);
        }
    });
}

fn blocks(dependent: &Value, owner: &str) -> bool {
    let owners = dependent["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners
        .into_iter()
        .any(|reference| reference["uid"] == owner && reference["blockOwnerDeletion"] == true)
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    finalizers.into_iter().any(|other| other == finalizer)
}

fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.filter_map(|owner| owner["uid"].as_str())
}
