//! What stands behind the addresses of simulated pods, and the loads on it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::routes::Routes;
use super::traffic::Load;

/// What an address does with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    /// So many of a thousand requests get a 5xx answer.
    Errors(u16),
    /// Nothing is there any more: what was in flight is cut.
    Gone,
    /// The process finishes what it has and takes nothing new.
    Refuses,
    /// Each request is answered.
    Serves,
}

/// All simulated addresses with all loads: one lock, because each change of the
/// former ends an interval of the latter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    /// Counts the changes of servers and routes.
    pub(crate) version: u64,
    pub(crate) servers: HashMap<IpAddr, Server>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) loads: Vec<Load>,
}

impl Servers {
    /// Changes what an address does, from now on.
    pub(crate) fn set(&self, ip: IpAddr, server: Server, now: Instant) {
        let mut inner = self.lock();
        inner.settle(now);
        inner.version += 1;
        if server == Server::Gone {
            for load in &mut inner.loads {
                load.cut(ip, now);
            }
            inner.servers.remove(&ip);
        } else {
            inner.servers.insert(ip, server);
        }
    }

    /// Changes where requests go, from now on.
    pub(crate) fn route(&self, routes: &Arc<Routes>, now: Instant) {
        let mut inner = self.lock();
        inner.settle(now);
        inner.version += 1;
        inner.routes = Arc::clone(routes);
    }

    /// Tells whether an address of a simulated pod takes requests and answers them well.
    pub(crate) fn serves(&self, ip: IpAddr) -> bool {
        let is_simulated = matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
        !is_simulated || matches!(self.lock().servers.get(&ip), Some(Server::Serves))
    }

    /// Returns a number that changes with servers and routes.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Judges the requests since the last change.
    pub(crate) fn settle(&mut self, now: Instant) {
        let Self { servers, routes, loads, .. } = self;
        for load in loads {
            load.settle(now, routes, servers);
        }
    }
}
