//! The resources that every cluster has.

use std::borrow::Cow;

use super::{Resource, Scope};
use crate::collection::Collection;

/// What `kubectl get all` lists.
fn categories(collection: &str) -> Vec<Cow<'static, str>> {
    let listed = matches!(
        collection,
        "daemonsets.apps"
            | "deployments.apps"
            | "horizontalpodautoscalers.autoscaling"
            | "jobs.batch"
            | "pods"
            | "replicasets.apps"
            | "services"
            | "statefulsets.apps"
    );
    if listed { vec![Cow::Borrowed("all")] } else { Vec::new() }
}

/// One row of the table.
fn row(
    api: (&'static str, &'static str),
    names: (&'static str, &'static str, &'static str),
    short_names: &'static [&'static str],
    subresources: &'static [&'static str],
) -> Resource {
    let (plural, group) = (names.0, api.0);
    let name = if group.is_empty() {
        Cow::Borrowed(plural)
    } else {
        Cow::Owned(format!("{plural}.{group}"))
    };
    let collection = Collection::new(name);
    let mut resource = Resource::builtin(collection, api, names, Scope::Namespaced);
    resource.categories = categories(resource.collection.as_str());
    resource.short_names = short_names.iter().copied().map(Cow::Borrowed).collect();
    resource.subresources = subresources;
    resource
}

impl Resource {
    fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    fn guarded(mut self) -> Self {
        self.rules.guarded_put = true;
        self
    }

    fn creating(mut self) -> Self {
        self.rules.put_creates = true;
        self
    }

    fn returning(mut self) -> Self {
        self.rules.returns_deleted = true;
        self
    }

    fn singly_deleted(mut self) -> Self {
        self.rules.singly_deleted = true;
        self
    }

    fn review(mut self) -> Self {
        self.rules.create_only = true;
        self
    }

    fn stored_in(mut self, collection: Collection) -> Self {
        self.collection = collection;
        self
    }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];
const PODS: &[&str] = &["binding", "ephemeralcontainers", "eviction", "log", "resize", "status"];

/// Returns all of them.
pub(super) fn all() -> Vec<Resource> {
    let mut all = core();
    all.extend(apps());
    all.extend(groups());
    all.extend(access());
    all
}

fn core() -> Vec<Resource> {
    vec![
        row(CORE, ("configmaps", "configmap", "ConfigMap"), &["cm"], &[]),
        row(CORE, ("endpoints", "endpoints", "Endpoints"), &["ep"], &[]).creating(),
        row(CORE, ("events", "event", "Event"), &["ev"], &[]).creating(),
        row(CORE, ("limitranges", "limitrange", "LimitRange"), &["limits"], &[]).creating(),
        row(CORE, ("namespaces", "namespace", "Namespace"), &["ns"], &["finalize", "status"])
            .cluster()
            .returning()
            .singly_deleted(),
        row(CORE, ("nodes", "node", "Node"), &["no"], STATUS).cluster(),
        row(
            CORE,
            ("persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim"),
            &["pvc"],
            STATUS,
        )
        .returning(),
        row(CORE, ("pods", "pod", "Pod"), &["po"], PODS).returning(),
        row(CORE, ("resourcequotas", "resourcequota", "ResourceQuota"), &["quota"], STATUS)
            .returning(),
        row(CORE, ("secrets", "secret", "Secret"), &[], &[]),
        row(CORE, ("serviceaccounts", "serviceaccount", "ServiceAccount"), &["sa"], &[])
            .returning(),
        row(CORE, ("services", "service", "Service"), &["svc"], STATUS).creating().returning(),
    ]
}

fn apps() -> Vec<Resource> {
    vec![
        row(APPS, ("controllerrevisions", "controllerrevision", "ControllerRevision"), &[], &[]),
        row(APPS, ("daemonsets", "daemonset", "DaemonSet"), &["ds"], STATUS),
        row(APPS, ("deployments", "deployment", "Deployment"), &["deploy"], SCALED),
        row(APPS, ("replicasets", "replicaset", "ReplicaSet"), &["rs"], SCALED),
        row(APPS, ("statefulsets", "statefulset", "StatefulSet"), &["sts"], SCALED),
    ]
}

fn groups() -> Vec<Resource> {
    vec![
        row(
            ("autoscaling", "v2"),
            ("horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler"),
            &["hpa"],
            STATUS,
        ),
        row(
            ("apiextensions.k8s.io", "v1"),
            ("customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition"),
            &["crd", "crds"],
            STATUS,
        )
        .cluster()
        .returning(),
        row(("batch", "v1"), ("jobs", "job", "Job"), &[], STATUS),
        row(("coordination.k8s.io", "v1"), ("leases", "lease", "Lease"), &[], &[])
            .creating()
            .guarded(),
        row(
            ("discovery.k8s.io", "v1"),
            ("endpointslices", "endpointslice", "EndpointSlice"),
            &[],
            &[],
        ),
        row(("events.k8s.io", "v1"), ("events", "event", "Event"), &["ev"], &[])
            .creating()
            .stored_in(Collection::EVENTS),
        row(
            ("policy", "v1"),
            ("poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget"),
            &["pdb"],
            STATUS,
        )
        .guarded(),
    ]
}

fn access() -> Vec<Resource> {
    const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
    const REVIEW: (&str, &str) = ("authorization.k8s.io", "v1");
    vec![
        row(RBAC, ("clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding"), &[], &[])
            .cluster()
            .creating(),
        row(RBAC, ("clusterroles", "clusterrole", "ClusterRole"), &[], &[]).cluster().creating(),
        row(RBAC, ("rolebindings", "rolebinding", "RoleBinding"), &[], &[]).creating(),
        row(RBAC, ("roles", "role", "Role"), &[], &[]).creating(),
        row(
            REVIEW,
            ("selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview"),
            &[],
            &[],
        )
        .cluster()
        .review(),
        row(
            REVIEW,
            ("selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview"),
            &[],
            &[],
        )
        .cluster()
        .review(),
    ]
}
