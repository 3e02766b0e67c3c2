//! The minimal role is enough, and none of it is too much.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_strategies::Rolling;

use crate::real::audit::{self, Use};
use crate::real::cluster::{Real, deployment, service, workload};

/// The role that users are told to apply.
const ROLE: &str = include_str!("../../../manifests/role.yaml");

/// Lets a user do what a role says.
async fn grant(real: &Real, user: &str, role: Value) -> BTreeSet<Use> {
    let granted = granted(&role);
    real.create(role).await;
    real.create(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "zdd" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "zdd" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    }))
    .await;
    granted
}

fn granted(role: &Value) -> BTreeSet<Use> {
    let mut granted = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let uses = texts(&rule["verbs"]);
                granted
                    .extend(uses.into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    granted
}

async fn roll(real: &Real, user: &str, target: Target, image: &str) -> Outcome {
    let backend = zdd_kube::backend(real.user(user));
    let rollout = Rollout::new(backend, target, Change::image("app", image), Rolling::default());
    rollout.run().await.unwrap().outcome
}

#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn the_minimal_role_is_enough_and_every_verb_of_it_is_used() {
    let real = Real::new("role").await;
    let user = format!("driver-of-{}", real.namespace);
    let granted = grant(&real, &user, serde_saphyr::from_str(ROLE).unwrap()).await;
    for app in ["web", "db", "agent"] {
        real.create(service(app)).await;
    }
    real.create(deployment(2, "web:1")).await;
    real.create(workload("StatefulSet", "db")).await;
    real.create(workload("DaemonSet", "agent")).await;
    real.settled("web").await;
    let ready = |field: &'static str, wanted: u64| {
        move |object: &Value| object["status"][field].as_u64() == Some(wanted)
    };
    real.until("apps/v1", "StatefulSet", "db", ready("availableReplicas", 2)).await;
    real.until("apps/v1", "DaemonSet", "agent", ready("numberAvailable", 1)).await;

    let namespace = &*real.namespace;
    for target in [
        Target::deployment(namespace, "web"),
        Target::stateful_set(namespace, "db"),
        Target::daemon_set(namespace, "agent"),
    ] {
        assert_eq!(roll(&real, &user, target, "web:2").await, Outcome::Promoted);
    }
    // Only a broken pod of a StatefulSet has to be deleted.
    let bad = roll(&real, &user, Target::stateful_set(namespace, "db"), "web:missing").await;
    assert!(matches!(bad, Outcome::RolledBack { .. }), "{bad:?}");

    // Watches are written down when they end, which is a moment after their client has gone.
    let begun = tokio::time::Instant::now();
    let mut unused: Vec<Use>;
    loop {
        let entries = audit::entries(&real.audit_log, &user);
        let refused: Vec<_> =
            entries.iter().filter(|entry| entry.code == 403).map(ToString::to_string).collect();
        assert!(refused.is_empty(), "refused: {refused:?}");
        unused = granted.difference(&audit::uses(&entries)).cloned().collect();
        if unused.is_empty() || begun.elapsed() > Duration::from_secs(20) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(unused.is_empty(), "granted and not used: {unused:?}");
}

#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn all_that_a_role_lacks_is_named_before_anything_but_the_lease_is_written() {
    let real = Real::new("norole").await;
    let user = format!("nobody-of-{}", real.namespace);
    // As much as lease and journal need: they come first, and the lease reads the target.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": "zdd" },
        "rules": [
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"] },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["create", "get", "patch"],
            },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "patch"] },
        ],
    });
    grant(&real, &user, role).await;
    real.create(deployment(1, "web:1")).await;
    real.settled("web").await;
    let backend = zdd_kube::backend(real.user(&user));
    let target = Target::deployment(&*real.namespace, "web");
    let rollout = Rollout::new(backend, target, Change::image("app", "web:2"), Rolling::default());
    let text = zdd_core::chain(&rollout.run().await.unwrap_err());
    for resource in ["deployments", "replicasets", "pods", "services", "endpointslices"] {
        assert!(text.contains(resource), "{text}");
    }
    let entries = audit::entries(&real.audit_log, &user);
    let written: Vec<_> = entries
        .iter()
        .filter(|entry| entry.is_write() && entry.code < 300 && entry.resource != "leases")
        .map(ToString::to_string)
        .collect();
    assert!(written.is_empty(), "{written:?}");
}
