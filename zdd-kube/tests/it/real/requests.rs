//! How many requests a rollout takes, beside `kubectl`.

use std::collections::BTreeMap;
use std::fmt::Write;

use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_strategies::Rolling;

use crate::real::audit::{self, Entry};
use crate::real::cluster::{Real, deployment, service};

/// How many requests a rollout of a Deployment may take: what it takes, and one for each watch
/// that the server or the network may end meanwhile.
const LIMIT: usize = 60;
/// How many of them may write. Lease and journal are most of it.
const WRITES: usize = 30;

fn table(entries: &[Entry]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.to_string()).or_default() += 1;
    }
    counts.iter().fold(String::new(), |mut text, (request, count)| {
        writeln!(text, "{count:>4} {request}").unwrap();
        text
    })
}

async fn kubectl(real: &Real, user: &str, args: &[&str]) {
    let mut command = tokio::process::Command::new("kubectl");
    command.args(["--namespace", &real.namespace, "--as", user]).args(args);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
#[ignore = "needs a real API server: cargo xtask test --stage control-plane"]
async fn a_rollout_takes_a_bounded_number_of_requests() {
    let real = Real::new("requests").await;
    let (zdd, other) = (format!("zdd-{}", real.namespace), format!("ctl-{}", real.namespace));
    for user in [&zdd, &other] {
        real.create(serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": user },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        }))
        .await;
    }
    real.create(service("web")).await;
    real.create(deployment(6, "web:1")).await;
    real.settled("web").await;

    let target = Target::deployment(&*real.namespace, "web");
    let backend = zdd_kube::backend(real.user(&zdd));
    let rollout = Rollout::new(backend, target, Change::image("app", "web:2"), Rolling::default());
    assert_eq!(rollout.run().await.unwrap().outcome, Outcome::Promoted);
    real.settled("web").await;
    kubectl(&real, &other, &["set", "image", "deployment/web", "app=web:3"]).await;
    kubectl(&real, &other, &["rollout", "status", "deployment/web", "--timeout=60s"]).await;

    let ours = audit::entries(&real.audit_log, &zdd);
    let theirs = audit::entries(&real.audit_log, &other);
    let writes = ours.iter().filter(|entry| entry.is_write()).count();
    let text = format!(
        "zdd: {} requests, {writes} writes\n{}kubectl: {} requests\n{}",
        ours.len(),
        table(&ours),
        theirs.len(),
        table(&theirs)
    );
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).unwrap();
    assert!(!theirs.is_empty(), "the audit log is not read right");
    assert!(ours.len() <= LIMIT && writes <= WRITES, "{text}");
}
