//! I2: a Service selects only what has proved itself.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use serde_json::Value;

use super::{Invariant, Moment};
use crate::collection::Collection;
use crate::controller::meta::service_selects;
use crate::controller::pods::{is_active, ready_since};
use crate::object::Object;

/// Requires that a changed selector of a Service matches at least `floor` pods that have been
/// ready for `soak`, unless it is a selector that the Service had before: a way back.
#[derive(Debug)]
pub struct ProvenSelector {
    namespace: String,
    service: String,
    floor: usize,
    soak: SignedDuration,
    proven: Vec<Value>,
}

impl ProvenSelector {
    /// Requires `floor` pods that have been ready for `soak`.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        service: impl Into<String>,
        floor: usize,
        soak: Duration,
    ) -> Self {
        let soak = SignedDuration::try_from(soak).unwrap_or(SignedDuration::MAX);
        let (namespace, service) = (namespace.into(), service.into());
        Self { namespace, service, floor, soak, proven: Vec::new() }
    }
}

impl Invariant for ProvenSelector {
    fn name(&self) -> &'static str {
        "I2 proven selector"
    }

    fn check(&mut self, moment: &Moment<'_>) -> Result<(), String> {
        let Some(write) = moment.write else { return Ok(()) };
        let object = &write.object;
        if write.collection != Collection::SERVICES
            || object.namespace() != self.namespace
            || object.name() != self.service
        {
            return Ok(());
        }
        let selector = &object["spec"]["selector"];
        let before = write.before.as_ref().map(|before| &before["spec"]["selector"]);
        self.proven.extend(before.filter(|old| !self.proven.contains(old)).cloned());
        if before.is_none_or(|old| old == selector) || self.proven.contains(selector) {
            return Ok(());
        }
        let pods = moment.store.list(&Collection::PODS, Some(&self.namespace));
        let selected = pods.filter(|pod| service_selects(object, &pod["metadata"]["labels"]));
        let now = moment.time();
        let proved = selected.filter(|pod| {
            let since = ready_since(pod).filter(|_| is_active(pod));
            since.is_some_and(|since| now.duration_since(since) >= self.soak)
        });
        let proved = proved.count();
        if proved >= self.floor {
            return Ok(());
        }
        Err(format!(
            "{}/{} now selects {selector}, of which {proved} pods have been ready for {:.1?}; {} \
             are required",
            self.namespace, self.service, self.soak, self.floor
        ))
    }
}
