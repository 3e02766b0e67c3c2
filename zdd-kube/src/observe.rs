//! Reads the present state once, with full consistency.

use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use zdd_core::{ClusterError, Snapshot, Target, WorkloadKind};

use crate::objects::{self, Happening, Object, ReplicaSet, Revision, Service, Slice, Workload};
use crate::requests::Requests;
use crate::resource::{self, Resource};
use crate::snapshot::{Parts, assemble, labels};

/// Everything that was read for one target.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) workload: Option<Object<Workload>>,
    pub(crate) replica_sets: Vec<Object<ReplicaSet>>,
    pub(crate) revisions: Vec<Object<Revision>>,
    pub(crate) pods: Vec<Object<objects::Pod>>,
    pub(crate) services: Vec<Object<Service>>,
    pub(crate) slices: Vec<Object<Slice>>,
    pub(crate) refusals: Vec<Object<Happening>>,
}

impl Reading {
    pub(crate) fn snapshot(&self, target: &Target) -> Snapshot {
        let parts = Parts {
            workload: self.workload.as_ref(),
            replica_sets: self.replica_sets.iter().collect(),
            revisions: self.revisions.iter().collect(),
            pods: self.pods.iter().collect(),
            services: self.services.iter().collect(),
            slices: self.slices.iter().collect(),
            refusals: self.refusals.iter().collect(),
        };
        assemble(target, &parts)
    }
}

/// Reads the target and what belongs to it.
pub(crate) async fn read(requests: &Requests, target: &Target) -> Result<Reading, ClusterError> {
    let mut reading = Reading::default();
    let Some(workload) = read_workload(requests, target).await? else {
        return Ok(reading);
    };
    let selector = workload.body.spec.selector.query();
    let namespace = target.namespace.as_str();
    let pods = list(requests, Resource::PODS, namespace, Some(&selector));
    let services = list::<Service>(requests, Resource::SERVICES, namespace, None);
    let history = async {
        match target.kind {
            WorkloadKind::Deployment => {
                let sets = list(requests, Resource::REPLICA_SETS, namespace, Some(&selector));
                sets.await.map(|sets| (sets, Vec::new()))
            }
            WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => {
                let revisions = list(requests, Resource::REVISIONS, namespace, Some(&selector));
                revisions.await.map(|revisions| (Vec::new(), revisions))
            }
        }
    };
    // The workload was read first: what belongs to it is at least as new.
    let refusals = refusals(requests, target, &workload.meta.uid);
    let (pods, services, history, refusals) =
        futures::try_join!(pods, services, history, refusals)?;
    let labels = labels(&workload.body);
    let selecting = services.into_iter().filter(|service| service.body.spec.covers(&labels));
    reading.services = selecting.collect();
    if !reading.services.is_empty() {
        let names = reading.services.iter().map(|service| service.meta.name.as_str());
        let selector = objects::slices_of(names);
        reading.slices =
            list(requests, Resource::ENDPOINT_SLICES, namespace, Some(&selector)).await?;
    }
    reading.workload = Some(workload);
    reading.pods = pods;
    reading.refusals = refusals;
    (reading.replica_sets, reading.revisions) = history;
    Ok(reading)
}

/// Reads the Events about pods that could not be created, for those kinds of workload that report
/// it nowhere else. Without the permission there are none.
async fn refusals(
    requests: &Requests,
    target: &Target,
    uid: &str,
) -> Result<Vec<Object<Happening>>, ClusterError> {
    if target.kind == WorkloadKind::Deployment {
        return Ok(Vec::new());
    }
    let (resource, fields) = (Resource::EVENTS, objects::refusals_of(uid));
    let listed = requests.list_fields::<DynamicObject>(resource, &target.namespace, &fields).await;
    match listed.map_err(ClusterError::from) {
        Ok(objects) => objects.into_iter().map(|object| understand(resource, object)).collect(),
        Err(ClusterError::Forbidden { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads the target alone.
pub(crate) async fn read_workload(
    requests: &Requests,
    target: &Target,
) -> Result<Option<Object<Workload>>, ClusterError> {
    let resource = resource::of(target);
    let object = requests.get::<DynamicObject>(resource, &target.namespace, &target.name).await?;
    object.map(|object| understand(resource, object)).transpose()
}

/// Lists objects as views.
pub(crate) async fn list<B: DeserializeOwned>(
    requests: &Requests,
    resource: Resource,
    namespace: &str,
    labels: Option<&str>,
) -> Result<Vec<Object<B>>, ClusterError> {
    let objects = requests.list::<DynamicObject>(resource, namespace, labels).await?;
    objects.into_iter().map(|object| understand(resource, object)).collect()
}

/// Turns a document into a view.
pub(crate) fn understand<B: DeserializeOwned>(
    resource: Resource,
    object: DynamicObject,
) -> Result<Object<B>, ClusterError> {
    let metadata = &object.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    Object::try_from(object).map_err(|error| {
        let problem = format!("the object cannot be understood: {error}");
        ClusterError::refused(&resource.named(&namespace, &name), problem)
    })
}
