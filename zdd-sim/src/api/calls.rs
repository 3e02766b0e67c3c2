//! Counts what is asked of the API server, by whom.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::request::Verb;

/// Requests of one kind by one client.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct CallKey {
    /// Who asked.
    pub user: String,
    /// With which program; empty when it does not say so.
    pub agent: String,
    /// What was asked.
    pub verb: Verb,
    /// Of which resource, written as in roles: `deployments.apps/scale`.
    pub target: String,
}

/// How often each request was made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CallCounts(BTreeMap<CallKey, u64>);

impl CallCounts {
    /// Returns each kind of request with its number, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&CallKey, u64)> {
        self.0.iter().map(|(key, count)| (key, *count))
    }

    /// Returns the number of all requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the number of requests per verb.
    #[must_use]
    pub fn by_verb(&self) -> BTreeMap<Verb, u64> {
        let mut all = BTreeMap::new();
        for (key, count) in self.iter() {
            *all.entry(key.verb).or_default() += count;
        }
        all
    }

    /// Returns the number of requests per verb and resource.
    #[must_use]
    pub fn by_target(&self) -> BTreeMap<(Verb, String), u64> {
        let mut all = BTreeMap::new();
        for (key, count) in self.iter() {
            *all.entry((key.verb, key.target.clone())).or_default() += count;
        }
        all
    }

    /// Returns the requests of one user only.
    #[must_use]
    pub fn of_user(&self, user: &str) -> Self {
        let own = self.0.iter().filter(|(key, _)| key.user == user);
        Self(own.map(|(key, count)| (key.clone(), *count)).collect())
    }
}

/// Prints a line per verb and resource: `patch deployments.apps 2`.
impl fmt::Display for CallCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((verb, target), count) in self.by_target() {
            writeln!(f, "{verb} {target} {count}")?;
        }
        Ok(())
    }
}

/// The running counts.
#[derive(Debug, Default)]
pub(crate) struct CallLog(Mutex<CallCounts>);

impl CallLog {
    pub(crate) fn count(&self, key: CallKey) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.0.entry(key).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> CallCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = CallCounts::default();
    }
}
