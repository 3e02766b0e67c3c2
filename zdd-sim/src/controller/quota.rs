//! Says in the status of each ResourceQuota what is used (`pkg/controller/resourcequota`).
//!
//! Admission does not ask this status, which lags: it counts by itself.

use crate::api::quota_used;
use crate::collection::Collection;
use crate::controller::Next;
use crate::controller::context::Context;
use crate::object::Object;
use crate::store::{Entry, Part, Place, Store};

/// Tells which quotas have to be looked at after a write.
pub(crate) fn observe(entry: &Entry, store: &Store, push: &mut dyn FnMut(Place)) {
    let namespace = entry.object.namespace();
    if namespace.is_empty() || entry.collection == Collection::EVENTS {
        return;
    }
    for quota in store.list(&Collection::RESOURCE_QUOTAS, Some(namespace)) {
        push((namespace.to_owned(), quota.name().to_owned()));
    }
}

/// Looks at one quota.
pub(crate) fn reconcile(ctx: &mut Context<'_>, place: &Place) -> Next {
    let Some(quota) = ctx.get(&Collection::RESOURCE_QUOTAS, place) else { return Next::Done };
    let used = quota_used(ctx.store, &quota);
    let _gone = ctx.edit(&Collection::RESOURCE_QUOTAS, Part::Status, &quota, |quota| {
        quota["status"]["hard"] = quota["spec"]["hard"].clone();
        quota["status"]["used"] = used;
    });
    Next::Done
}
