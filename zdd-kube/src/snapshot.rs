//! Puts what was read together to what the engine looks at. Pure.

use std::collections::{BTreeMap, BTreeSet};

use zdd_core::{
    Amount, Completion, Epoch, Pod, RevisionHash, Service, Settings, Snapshot, Target, Uid,
    Version, Workload, WorkloadKind,
};

use crate::names::{EPOCH_LABEL, is_pod_of};
use crate::objects::{
    self, HASH_LABEL, Happening, Object, REVISION_LABEL, ReplicaSet, Revision, Slice,
};
use crate::{completion, trouble};

/// What was read of the cluster, as seen at one time.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) workload: Option<&'a Object<objects::Workload>>,
    pub(crate) replica_sets: Vec<&'a Object<ReplicaSet>>,
    pub(crate) revisions: Vec<&'a Object<Revision>>,
    pub(crate) pods: Vec<&'a Object<objects::Pod>>,
    pub(crate) services: Vec<&'a Object<objects::Service>>,
    pub(crate) slices: Vec<&'a Object<Slice>>,
    /// Events about pods of a StatefulSet or DaemonSet that could not be created.
    pub(crate) refusals: Vec<&'a Object<Happening>>,
}

/// Puts the parts together. Parts that belong to other workloads are left out.
pub(crate) fn assemble(target: &Target, parts: &Parts<'_>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let Some(object) = parts.workload else {
        return snapshot;
    };
    let owned = owned_pods(target.kind, object, parts);
    snapshot.pods = owned.iter().map(|pod| view(target.kind, pod)).collect();
    let labels = labels(&object.body);
    for service in parts.services.iter().filter(|service| service.body.spec.selects(&labels)) {
        let ready = ready(target, &service.meta.name, &owned, parts);
        snapshot.services.push(Service::new(&service.meta.name, ready));
    }
    snapshot.workload = Some(workload(target, object, parts, &snapshot.pods));
    snapshot
}

/// Returns the labels of the pods that the workload's template gives.
pub(crate) fn labels(workload: &objects::Workload) -> BTreeMap<String, String> {
    template_labels(workload.template().as_value())
}

/// Returns the labels in a template.
pub(crate) fn template_labels(template: &serde_json::Value) -> BTreeMap<String, String> {
    let labels = template.pointer("/metadata/labels").cloned().unwrap_or_default();
    serde_json::from_value(labels).unwrap_or_default()
}

/// Returns the highest epoch that has written to an object.
pub(crate) fn epoch(meta: &objects::Meta) -> Option<Epoch> {
    meta.labels.get(EPOCH_LABEL)?.parse().ok().map(Epoch::new)
}

/// Returns the knobs of a workload; one that cannot be understood is left out here and refused
/// before a rollout.
pub(crate) fn settings(kind: WorkloadKind, workload: &objects::Workload) -> Settings {
    let mut settings = Settings::default();
    settings.min_ready_seconds = Some(workload.spec.min_ready_seconds);
    let rolling = workload.spec.update_strategy.rolling_update.clone().unwrap_or_default();
    let surge = rolling.max_surge.and_then(|knob| knob.amount().ok());
    settings.max_unavailable = rolling.max_unavailable.and_then(|knob| knob.part().ok());
    match kind {
        WorkloadKind::DaemonSet => settings.max_surge = surge.or(Some(Amount::ZERO)),
        WorkloadKind::Deployment => settings.max_surge = surge,
        WorkloadKind::StatefulSet => settings.partition = Some(rolling.partition.unwrap_or(0)),
    }
    settings
}

fn workload(
    target: &Target,
    object: &Object<objects::Workload>,
    parts: &Parts<'_>,
    pods: &[Pod],
) -> Workload {
    let (meta, body) = (&object.meta, &object.body);
    let kind = target.kind;
    let version = Version::new(&meta.version);
    let mut workload = Workload::new(meta.uid(), version, meta.generation, body.template().clone());
    workload.revision = revision(kind, object, parts);
    workload.replicas = completion::desired(kind, body);
    workload.paused = body.is_held();
    workload.settings = settings(kind, body);
    workload.completion = completion::completion(kind, meta, body);
    workload.counts = completion::counts(kind, &body.status);
    if workload.completion == Completion::Unobserved {
        // The status still counts pods of the template before as updated.
        let updated = pods.iter().filter(|pod| !pod.terminating && pod.revision.is_some());
        let updated = updated.filter(|pod| pod.revision == workload.revision).count();
        let updated = u32::try_from(updated).unwrap_or(u32::MAX);
        workload.counts.updated = workload.counts.updated.min(updated);
    }
    workload.replica_failure =
        completion::replica_failure(&body.status).or_else(|| refusal(kind, object, parts));
    workload.epoch = epoch(meta);
    workload
}

/// Finds the mark of the pods of the desired template.
fn revision(
    kind: WorkloadKind,
    object: &Object<objects::Workload>,
    parts: &Parts<'_>,
) -> Option<RevisionHash> {
    let (meta, body) = (&object.meta, &object.body);
    let wanted = body.spec.template.fingerprint;
    let owns = |owned: &objects::Meta| owned.controller.as_ref() == Some(&meta.uid);
    match kind {
        WorkloadKind::DaemonSet => {
            let matching = parts
                .revisions
                .iter()
                .filter(|revision| owns(&revision.meta) && revision.body.template == Some(wanted));
            let newest = matching.max_by_key(|revision| revision.body.revision)?;
            newest.meta.labels.get(REVISION_LABEL).map(RevisionHash::new)
        }
        WorkloadKind::Deployment => {
            let matching = parts
                .replica_sets
                .iter()
                .filter(|set| owns(&set.meta) && set.body.spec.template == wanted);
            // Of several the controller takes the oldest.
            let oldest = matching.min_by_key(|set| (set.meta.created, &set.meta.name))?;
            oldest.meta.labels.get(HASH_LABEL).map(RevisionHash::new)
        }
        WorkloadKind::StatefulSet => {
            let observed = body.status.observed_generation >= meta.generation;
            let revision = &body.status.update_revision;
            (observed && !revision.is_empty()).then(|| RevisionHash::new(revision))
        }
    }
}

/// Finds why the controller of a StatefulSet or DaemonSet cannot create pods. It says so in Events
/// alone, and never takes one back: one counts until a pod or a revision was made after it.
fn refusal(
    kind: WorkloadKind,
    object: &Object<objects::Workload>,
    parts: &Parts<'_>,
) -> Option<String> {
    if !completion::lacks_pods(kind, &object.body) {
        return None;
    }
    let made = |meta: &objects::Meta| {
        let owned = meta.controller.as_ref() == Some(&object.meta.uid);
        meta.created.filter(|_| owned)
    };
    let pods = parts.pods.iter().filter_map(|pod| made(&pod.meta));
    let revisions = parts.revisions.iter().filter_map(|revision| made(&revision.meta));
    let since = pods.chain(revisions).max();
    let refusals = parts.refusals.iter().filter_map(|it| Some((it.body.last()?, &it.body.note)));
    let (last, note) = refusals.max()?;
    (Some(last) > since).then(|| note.clone())
}

fn owned_pods<'a>(
    kind: WorkloadKind,
    object: &Object<objects::Workload>,
    parts: &Parts<'a>,
) -> Vec<&'a Object<objects::Pod>> {
    let uid = &object.meta.uid;
    let owners: BTreeSet<&String> = match kind {
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => BTreeSet::from([uid]),
        WorkloadKind::Deployment => {
            let sets = parts.replica_sets.iter();
            let owned = sets.filter(|set| set.meta.controller.as_ref() == Some(uid));
            owned.map(|set| &set.meta.uid).collect()
        }
    };
    let owned = |pod: &&&Object<objects::Pod>| {
        pod.meta.controller.as_ref().is_some_and(|owner| owners.contains(owner))
    };
    parts.pods.iter().filter(owned).copied().collect()
}

fn view(kind: WorkloadKind, object: &Object<objects::Pod>) -> Pod {
    let label = match kind {
        WorkloadKind::DaemonSet | WorkloadKind::StatefulSet => REVISION_LABEL,
        WorkloadKind::Deployment => HASH_LABEL,
    };
    let revision = object.meta.labels.get(label).map(RevisionHash::new);
    let mut pod = Pod::new(object.meta.uid(), &object.meta.name, revision);
    pod.ready = object.body.is_ready();
    pod.terminating = object.meta.terminating;
    pod.trouble = trouble::trouble(&object.body);
    pod
}

/// Lists the target's pods that get new connections through a Service.
fn ready(
    target: &Target,
    service: &str,
    owned: &[&Object<objects::Pod>],
    parts: &Parts<'_>,
) -> BTreeSet<Uid> {
    let of_service =
        |slice: &&&Object<Slice>| objects::service_of(&slice.meta.labels) == Some(service);
    let slices = parts.slices.iter().filter(of_service);
    let endpoints = slices.flat_map(|slice| &slice.body.endpoints);
    let taking = endpoints.filter(|endpoint| endpoint.conditions.takes_connections());
    let pods = taking.filter_map(|endpoint| endpoint.target_ref.as_ref());
    let is_ours = |uid: &str, name: &str| {
        let listed = parts.pods.iter().any(|pod| pod.meta.uid == uid);
        // One that is not listed any more is told by its name.
        owned.iter().any(|pod| pod.meta.uid == uid) || (!listed && is_pod_of(target, name))
    };
    pods.filter(|pod| is_ours(&pod.uid, &pod.name)).map(|pod| Uid::new(&pod.uid)).collect()
}
