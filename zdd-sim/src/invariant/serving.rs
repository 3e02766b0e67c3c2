//! I1: a Service that served goes on serving.

use super::{Invariant, Moment};
use crate::collection::Collection;
use crate::dataplane::routes::Backends;
use crate::object::Object;

/// Requires that the data plane always has so many endpoints of a Service that really answer,
/// from the first moment that it had them.
///
/// An endpoint counts when the data plane would send requests to it *and* its pod takes them:
/// this is what users see, whatever the API says.
#[derive(Debug)]
pub struct ServingFloor {
    namespace: String,
    service: String,
    floor: usize,
    is_armed: bool,
}

impl ServingFloor {
    /// Requires `floor` endpoints that serve.
    #[must_use]
    pub fn new(namespace: impl Into<String>, service: impl Into<String>, floor: usize) -> Self {
        Self { namespace: namespace.into(), service: service.into(), floor, is_armed: false }
    }
}

impl Invariant for ServingFloor {
    fn name(&self) -> &'static str {
        "I1 serving floor"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let backends = moment.routes.backends(&self.namespace, &self.service);
        let usable = backends.map(|backends: &std::sync::Arc<Backends>| &*backends.usable);
        let usable = usable.unwrap_or_default();
        let serving = usable.iter().filter(|endpoint| moment.serves(endpoint.ip)).count();
        if serving >= self.floor {
            self.is_armed = true;
            return Ok(());
        }
        if !self.is_armed {
            return Ok(());
        }
        // One report per fall, not one per event until it is over.
        self.is_armed = false;
        Err(format!(
            "{} of {} endpoints of {}/{} serve, {} are required",
            serving,
            usable.len(),
            self.namespace,
            self.service,
            self.floor
        ))
    }
}

/// Requires that the EndpointSlices of a Service always name so many ready endpoints, from the
/// first moment that they did.
#[derive(Debug)]
pub struct ReadyFloor {
    namespace: String,
    service: String,
    floor: usize,
    is_armed: bool,
}

impl ReadyFloor {
    /// Requires `floor` ready endpoints.
    #[must_use]
    pub fn new(namespace: impl Into<String>, service: impl Into<String>, floor: usize) -> Self {
        Self { namespace: namespace.into(), service: service.into(), floor, is_armed: false }
    }
}

impl Invariant for ReadyFloor {
    fn name(&self) -> &'static str {
        "I1 ready floor"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(write) = moment.write else { return Ok(()) };
        let label = crate::controller::endpoint_slice::SERVICE_LABEL;
        if write.collection != Collection::ENDPOINT_SLICES
            || write.object.namespace() != self.namespace
            || write.object.label(label) != Some(&self.service)
        {
            return Ok(());
        }
        let slices = moment.store.list(&Collection::ENDPOINT_SLICES, Some(&self.namespace));
        let own = slices.filter(|slice| slice.label(label) == Some(&self.service));
        let endpoints = own.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|each| each["conditions"]["ready"] != false);
        let mut uids: Vec<_> = ready.filter_map(|each| each["targetRef"]["uid"].as_str()).collect();
        uids.sort_unstable();
        uids.dedup();
        if uids.len() >= self.floor {
            self.is_armed = true;
            return Ok(());
        }
        if !std::mem::take(&mut self.is_armed) {
            return Ok(());
        }
        Err(format!(
            "{} endpoints of {}/{} are ready, {} are required",
            uids.len(),
            self.namespace,
            self.service,
            self.floor
        ))
    }
}
