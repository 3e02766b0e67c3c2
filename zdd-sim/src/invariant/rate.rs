//! I10: no hot loop on the API.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::{Invariant, Moment};
use crate::api::ApiServer;

/// Requires that a user makes at most so many requests within any window of time.
///
/// The count is taken at each event of the cluster; a loop that writes nothing is seen at the next
/// one.
pub struct CallRate {
    api: ApiServer,
    user: String,
    limit: u64,
    window: Duration,
    samples: VecDeque<(Instant, u64)>,
}

impl CallRate {
    /// Allows `limit` requests of `user` within each `window`.
    #[must_use]
    pub fn new(api: ApiServer, user: impl Into<String>, limit: u64, window: Duration) -> Self {
        Self { api, user: user.into(), limit, window, samples: VecDeque::new() }
    }
}

impl Invariant for CallRate {
    fn name(&self) -> &'static str {
        "I10 call rate"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let total = self.api.calls().of_user(&self.user).total();
        match self.samples.back_mut() {
            Some((at, count)) if *at == moment.now => *count = total,
            Some(_) | None => self.samples.push_back((moment.now, total)),
        }
        // The last sample before the window is the base of the count within it.
        while self.samples.get(1).is_some_and(|(at, _)| *at + self.window <= moment.now) {
            self.samples.pop_front();
        }
        let base = self.samples.front().map_or(0, |(_, count)| *count);
        let calls = total.saturating_sub(base);
        if calls <= self.limit {
            return Ok(());
        }
        self.samples.clear();
        self.samples.push_back((moment.now, total));
        Err(format!(
            "{} made {calls} requests within {:?}, {} are allowed",
            self.user, self.window, self.limit
        ))
    }
}

impl fmt::Debug for CallRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRate")
            .field("user", &self.user)
            .field("limit", &self.limit)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
