//! The journal, in a ConfigMap.

use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use kube::api::Patch;
use kube::core::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zdd_core::{ClusterError, Entry, Journal, JournalError, Log, Target, Version};

use crate::failure::Failure;
use crate::names::{MANAGED_BY, MANAGER, TARGET_ANNOTATION, kept_for};
use crate::requests::{Requests, Run};
use crate::resource::Resource;

/// The key under which the entries are kept.
const KEY: &str = "journal.json";
/// The server takes 1 MiB of data; this leaves room for the rest of the object.
const LARGEST: usize = 1_000_000;
/// The most that the first entry may take of it. It has the old and the new template, and both come
/// again: the new one in the step that sets it, the old one in the step that goes back.
const LARGEST_AT_FIRST: usize = LARGEST / 5 * 2;
/// How often a write is tried that is refused although nothing has changed.
const TRIES: usize = 3;

/// Keeps the journal of each target in a ConfigMap beside it: `zdd-deployment-web`.
///
/// # Guarantees
/// A journal is replaced as a whole, on condition of the resourceVersion that was read: two drivers
/// cannot both write.
///
/// The ConfigMap has no owner. If it had, deleting the target in the middle of a rollout would
/// take the journal away from the driver that still has to write down how the rollout ended, and
/// from those who want to know. It is small, and the next rollout of a target of that name
/// replaces it.
#[derive(Clone, Debug)]
pub struct KubeJournal {
    requests: Requests,
}

impl KubeJournal {
    /// Keeps journals in the cluster of a client; make it with [`client`](crate::client).
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { requests: Requests::new(client) }
    }

    /// Sets how long a request may take, 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.requests.set_timeout(timeout);
        self
    }
}

/// What is kept. Fields of later releases are skipped.
#[derive(Deserialize, Serialize)]
struct Document {
    entries: Vec<Entry>,
}

#[async_trait]
impl Journal for KubeJournal {
    async fn load(&self, target: &Target) -> Result<Log, JournalError> {
        let name = kept_for(target);
        let found = self.requests.get(Resource::CONFIG_MAPS, &target.namespace, &name).await;
        let found: Option<DynamicObject> = found.map_err(|failure| cluster(target, failure))?;
        let Some(object) = found else {
            return Ok(Log::default());
        };
        let corrupt = |problem: String| JournalError::Corrupt {
            target: target.clone(),
            problem: format!(
                "{}: {problem}",
                Resource::CONFIG_MAPS.named(&target.namespace, &name)
            ),
        };
        let labels = object.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(MANAGED_BY)).map(String::as_str) != Some(MANAGER) {
            return Err(corrupt(format!("it lacks the label {MANAGED_BY}={MANAGER}")));
        }
        let text = object.data.pointer(&format!("/data/{KEY}")).and_then(Value::as_str);
        let text = text.ok_or_else(|| corrupt(format!("it has no key {KEY}")))?;
        let document: Document =
            serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))?;
        let version = object.metadata.resource_version.map(Version::new);
        Ok(Log::new(document.entries, version))
    }

    async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError> {
        let text = document(&log.entries).map_err(|problem| JournalError::Cluster {
            target: target.clone(),
            source: ClusterError::refused(&format!("the journal of {target}"), problem),
        })?;
        for _ in 0..TRIES {
            let failure = match self.write(target, &text, log.version.as_ref()).await {
                Ok(written) => {
                    let version = written.metadata.resource_version.unwrap_or_default();
                    return Ok(Version::new(version));
                }
                Err(failure) => failure,
            };
            // A journal that someone deleted is one that has changed.
            let changed =
                failure.is_conflict() || (log.version.is_some() && failure.is_not_found());
            if !changed {
                return Err(cluster(target, failure));
            }
            // A server may answer with a conflict although nobody else wrote.
            if self.load(target).await?.version != log.version {
                break;
            }
        }
        Err(JournalError::Conflict { target: target.clone() })
    }
}

impl KubeJournal {
    async fn write(
        &self,
        target: &Target,
        text: &str,
        version: Option<&Version>,
    ) -> Result<DynamicObject, Failure> {
        let name = kept_for(target);
        let namespace = target.namespace.as_str();
        let Some(version) = version else {
            let object = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "labels": { MANAGED_BY: MANAGER },
                    "annotations": { TARGET_ANNOTATION: target.to_string() },
                },
                "data": { KEY: text },
            });
            return self.requests.create(Resource::CONFIG_MAPS, namespace, &object).await;
        };
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": version.as_str() },
            "data": { KEY: text },
        }));
        let at = (namespace, name.as_str());
        self.requests.patch(Resource::CONFIG_MAPS, at, &patch, Run::Real).await
    }
}

/// Writes the entries down, or says why they cannot be kept.
fn document(entries: &[Entry]) -> Result<String, String> {
    let document = Document { entries: entries.to_vec() };
    let text = serde_json::to_string(&document).map_err(|error| error.to_string())?;
    // A rollout that has only begun has changed nothing yet: it is not to end half-way for room.
    let room = if entries.len() > 1 { LARGEST } else { LARGEST_AT_FIRST };
    if text.len() <= room {
        return Ok(text);
    }
    Err(format!(
        "{} bytes do not fit into a ConfigMap, which has room for {room} of them by now; make the \
         pod template smaller, or keep the journal elsewhere (Backend::journal)",
        text.len()
    ))
}

fn cluster(target: &Target, failure: Failure) -> JournalError {
    JournalError::Cluster { target: target.clone(), source: failure.into() }
}
