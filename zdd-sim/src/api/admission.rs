//! Decides whether a new object may be stored: quotas, and what a test wants to deny.
//!
//! Clients and controllers go through the same chain: the pods that a quota refuses are refused
//! to the ReplicaSet controller, long after the Deployment was accepted.

mod pod;
mod quantity;
pub(crate) mod quota;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::Value;

use super::status::ApiStatus;
use crate::collection::Collection;
use crate::controller::context::Admission;
use crate::store::Store;

/// All that reviews new objects, in order, with the quotas at the end.
///
/// Clones share what was added.
///
/// # Examples
/// ```
/// use zdd_sim::{AdmissionChain, Collection};
///
/// let admission = AdmissionChain::default();
/// admission.deny("images.example.com", |collection, _| {
///     (collection == &Collection::PODS).then(|| "no pods today".to_owned())
/// });
/// admission.clear();
/// ```
#[derive(Clone, Debug, Default)]
pub struct AdmissionChain(Arc<Mutex<Vec<Box<dyn Admission>>>>);

impl AdmissionChain {
    /// Adds a link.
    pub fn add(&self, admission: impl Admission + 'static) {
        self.links().push(Box::new(admission));
    }

    /// Adds a validating webhook that denies what `hook` gives a message for.
    pub fn deny<F>(&self, webhook: impl Into<String>, hook: F)
    where
        F: Fn(&Collection, &Value) -> Option<String> + Send + 'static,
    {
        self.add(Webhook { name: webhook.into(), hook: Box::new(hook) });
    }

    /// Removes all links; quotas stay, because they are objects of the cluster.
    pub fn clear(&self) {
        self.links().clear();
    }

    /// Reviews an object that is about to be created, and lets links complete it.
    ///
    /// # Errors
    /// 403 with the words of the link or of the quota.
    pub fn review(
        &self,
        store: &Store,
        collection: &Collection,
        object: &mut Value,
    ) -> Result<(), ApiStatus> {
        if collection == &Collection::PODS {
            pod::admit(store, object)?;
        }
        for link in self.links().iter() {
            let refused = |message| ApiStatus::new(StatusCode::FORBIDDEN, "Forbidden", message);
            link.admit(store, collection, object).map_err(refused)?;
        }
        quota::check(store, collection, object)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Box<dyn Admission>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission for AdmissionChain {
    fn admit(
        &self,
        store: &Store,
        collection: &Collection,
        object: &mut Value,
    ) -> Result<(), String> {
        self.review(store, collection, object).map_err(|status| status.message)
    }
}

type Hook = dyn Fn(&Collection, &Value) -> Option<String> + Send;

struct Webhook {
    name: String,
    hook: Box<Hook>,
}

impl Admission for Webhook {
    fn admit(&self, _: &Store, collection: &Collection, object: &mut Value) -> Result<(), String> {
        match (self.hook)(collection, object) {
            None => Ok(()),
            Some(why) => {
                Err(format!("admission webhook \"{}\" denied the request: {why}", self.name))
            }
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.name).finish()
    }
}
