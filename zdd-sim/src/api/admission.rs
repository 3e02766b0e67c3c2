//! Decides whether a new object may be stored: quotas, and what a test wants to deny.

mod quantity;
mod quota;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::StatusCode;
use serde_json::Value;

use super::status::ApiStatus;
use crate::collection::Collection;
use crate::store::Store;

/// A name and what it denies.
type Webhook = (String, Arc<Hook>);
type Hook = dyn Fn(&Collection, &Value) -> Option<String> + Send + Sync;

/// The admission of new objects, the same for clients and controllers.
///
/// Clones share their hooks.
///
/// # Examples
/// ```
/// use zdd_sim::{Admission, Collection};
///
/// let admission = Admission::default();
/// admission.deny("images.example.com", |collection, _| {
///     (collection == &Collection::PODS).then(|| "no pods today".to_owned())
/// });
/// admission.clear();
/// ```
#[derive(Clone, Default)]
pub struct Admission(Arc<RwLock<Vec<Webhook>>>);

impl Admission {
    /// Adds a validating webhook that denies what `hook` gives a message for.
    pub fn deny<F>(&self, webhook: impl Into<String>, hook: F)
    where
        F: Fn(&Collection, &Value) -> Option<String> + Send + Sync + 'static,
    {
        let mut hooks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hooks.push((webhook.into(), Arc::new(hook)));
    }

    /// Removes all webhooks.
    pub fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reviews an object that is about to be created.
    ///
    /// Controllers call this before they create, because the store itself admits everything.
    ///
    /// # Errors
    /// 403 with the words of the webhook or of the quota.
    pub fn review(
        &self,
        store: &Store,
        collection: &Collection,
        object: &Value,
    ) -> Result<(), ApiStatus> {
        let hooks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (webhook, hook) in hooks.iter() {
            if let Some(message) = hook(collection, object) {
                let message =
                    format!("admission webhook \"{webhook}\" denied the request: {message}");
                return Err(ApiStatus::new(StatusCode::FORBIDDEN, "Forbidden", message));
            }
        }
        quota::check(store, collection, object)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(hooks.iter().map(|(webhook, _)| webhook)).finish()
    }
}
