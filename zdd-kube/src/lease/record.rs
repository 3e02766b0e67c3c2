//! What a Lease object says, and the writes to it.

use std::time::Duration;

use kube::api::Patch;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use zdd_core::{Clock, ClusterError, Epoch, Target};

use crate::names::{MANAGED_BY, MANAGER, TARGET_ANNOTATION, kept_for};
use crate::requests::{Requests, Run};
use crate::resource::Resource;

/// What a Lease object said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) version: String,
    /// `None` when it was given up.
    pub(super) holder: Option<String>,
    pub(super) epoch: Epoch,
    pub(super) duration: Duration,
}

impl From<DynamicObject> for Record {
    fn from(object: DynamicObject) -> Self {
        let spec = &object.data["spec"];
        let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
        Self {
            holder: holder.map(str::to_owned),
            epoch: Epoch::new(spec["leaseTransitions"].as_u64().unwrap_or(0)),
            duration: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0)),
            version: object.metadata.resource_version.unwrap_or_default(),
        }
    }
}

/// Reads and writes the Lease of one target in the name of one holder.
#[derive(Clone)]
pub(super) struct Records {
    requests: Requests,
    namespace: String,
    name: String,
    target: String,
    holder: String,
    duration: Duration,
    clock: Clock,
}

impl Records {
    pub(super) fn new(
        requests: Requests,
        target: &Target,
        holder: String,
        duration: Duration,
        clock: Clock,
    ) -> Self {
        let (namespace, name) = (target.namespace.clone(), kept_for(target));
        Self { requests, namespace, name, target: target.to_string(), holder, duration, clock }
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    pub(super) fn duration(&self) -> Duration {
        self.duration
    }

    pub(super) async fn read(&self) -> Result<Option<Record>, ClusterError> {
        let found = self.requests.get(Resource::LEASES, &self.namespace, &self.name).await?;
        Ok(found.map(|object: DynamicObject| object.into()))
    }

    pub(super) async fn create(&self, epoch: Epoch) -> Result<Record, ClusterError> {
        let object = json!({
            "apiVersion": Resource::LEASES.api_version(),
            "kind": Resource::LEASES.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": { MANAGED_BY: MANAGER },
                "annotations": { TARGET_ANNOTATION: self.target },
            },
            "spec": self.spec(epoch),
        });
        let created = self.requests.create(Resource::LEASES, &self.namespace, &object).await?;
        Ok(DynamicObject::into(created))
    }

    /// Makes this holder the next one.
    pub(super) async fn take(&self, from: &Record) -> Result<Record, ClusterError> {
        let next = Epoch::new(from.epoch.get() + 1);
        self.write(from, self.spec(next)).await
    }

    /// Shows that the holder is alive.
    pub(super) async fn renew(&self, last: &Record) -> Result<Record, ClusterError> {
        self.write(last, json!({ "renewTime": self.now() })).await
    }

    /// Gives the lease up. When that fails, it runs out by itself.
    pub(super) async fn release(&self, last: Record) {
        let given_up = json!({ "holderIdentity": null });
        let mut last = last;
        // A renewal that was cut short may have made another version.
        for _ in 0..2 {
            let Err(error) = self.write(&last, given_up.clone()).await else { return };
            tracing::debug!(%error, lease = %self.name, "the lease was not given up");
            match self.read().await {
                Ok(Some(now)) if now.holder.as_deref() == Some(self.holder()) => last = now,
                Ok(_) | Err(_) => return,
            }
        }
    }

    async fn write(&self, last: &Record, spec: Value) -> Result<Record, ClusterError> {
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": last.version },
            "spec": spec,
        }));
        let at = (self.namespace.as_str(), self.name.as_str());
        let written = self.requests.patch(Resource::LEASES, at, &patch, Run::Real).await?;
        Ok(DynamicObject::into(written))
    }

    fn spec(&self, epoch: Epoch) -> Value {
        let now = self.now();
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration.as_secs(),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": epoch,
        })
    }

    /// The time for people to read; nothing is decided by it.
    fn now(&self) -> String {
        format!("{:.6}", self.clock.now())
    }
}
