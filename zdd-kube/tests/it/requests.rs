//! What a rollout asks of the API server: a number that grows with changes, not with time.

use insta::assert_snapshot;
use serde_json::Value;
use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_kube::rbac::RULES;
use zdd_sim::Authorizer;
use zdd_strategies::{Rolling, RollingConfig};

use std::time::Duration;

use crate::support::{Running, daemon_set, rollout, started, stateful_set, to, web};

const ROLE: &str = include_str!("../../manifests/role.yaml");

fn role() -> Value {
    let mut role: Value = serde_saphyr::from_str(ROLE).unwrap();
    role["metadata"]["namespace"] = "default".into();
    role
}

fn authorizer() -> Authorizer {
    Authorizer::from_roles([&role()]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_makes_these_requests() {
    let running = started().await;
    let api = running.cluster.api().as_user("zdd");
    running.cluster.api().reset_calls();
    let report = rollout(Running::backend_on(api), to("web:2")).run().await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_snapshot!(running.cluster.api().calls().of_user("zdd"), @r#"
create configmaps 1
create events.events.k8s.io 2
create leases.coordination.k8s.io 1
create selfsubjectrulesreviews.authorization.k8s.io 1
get configmaps 1
get deployments.apps 6
get leases.coordination.k8s.io 1
list deployments.apps 1
list endpointslices.discovery.k8s.io 2
list horizontalpodautoscalers.autoscaling 1
list pods 2
list replicasets.apps 2
list resourcequotas 1
list services 2
patch configmaps 7
patch deployments.apps 3
patch leases.coordination.k8s.io 1
watch deployments.apps 1
watch endpointslices.discovery.k8s.io 1
watch pods 1
watch replicasets.apps 1
watch services 1
"#);
}

#[tokio::test(start_paused = true)]
async fn a_long_soak_costs_only_what_keeps_lease_and_watches_alive() {
    let mut totals = Vec::new();
    for hours in [1, 2] {
        let running = started().await;
        let api = running.cluster.api().as_user("zdd");
        running.cluster.api().reset_calls();
        let soak = RollingConfig::default().soak(Duration::from_secs(3600 * hours));
        let strategy = Rolling::new(soak).unwrap();
        let rollout = Rollout::new(Running::backend_on(api), web(), to("web:2"), strategy);
        rollout.run().await.unwrap();
        let calls = running.cluster.api().calls().of_user("zdd");
        let of = |verb: &str, resource: &str| -> u64 {
            let matching = calls.iter().filter(|(key, _)| {
                key.verb.to_string() == verb && (resource.is_empty() || key.target == resource)
            });
            matching.map(|(_, count)| count).sum()
        };
        totals.push((
            calls.total(),
            of("patch", "leases.coordination.k8s.io"),
            of("watch", ""),
            of("list", "") + of("get", ""),
        ));
    }
    let [(first, leases, watches, reads), (second, more_leases, more_watches, same_reads)] =
        totals[..]
    else {
        panic!("two runs");
    };
    assert_eq!(same_reads, reads, "reading again and again is polling");
    assert_eq!(more_leases - leases, 360, "a lease of 30 s is renewed every 10 s");
    assert_eq!(second - first, (more_leases - leases) + (more_watches - watches));
    // Five watches, each ended by the server after 290 s.
    assert!(more_watches - watches <= 5 * 13, "{watches} {more_watches}");
}

#[test]
fn the_manifest_is_the_table() {
    let grants = authorizer().grants();
    let mut table: Vec<String> = RULES
        .iter()
        .flat_map(|rule| {
            let resource = match rule.group {
                "" => rule.resource.to_owned(),
                group => format!("{}.{group}", rule.resource),
            };
            rule.verbs.iter().map(move |verb| format!("{verb} {resource}"))
        })
        .collect();
    table.sort();
    table.dedup();
    assert_eq!(grants, table);
}

#[tokio::test(start_paused = true)]
async fn the_role_is_enough_and_nothing_in_it_is_for_nothing() {
    let running = started().await;
    running.create(stateful_set(2, "web:1")).await;
    running.create(daemon_set("web:1")).await;
    running.up(&Target::stateful_set("default", "db")).await;
    running.up(&Target::daemon_set("default", "agent")).await;
    let api = running.cluster.api().as_user("zdd").with_authorizer(authorizer());
    running.cluster.api().reset_calls();
    for target in
        [web(), Target::stateful_set("default", "db"), Target::daemon_set("default", "agent")]
    {
        let backend = Running::backend_on(api.clone());
        let rollout = Rollout::new(backend, target, to("web:2"), Rolling::default());
        assert_eq!(rollout.run().await.unwrap().outcome, Outcome::Promoted);
    }
    // A StatefulSet waits for a broken pod for ever: the way back has to delete it.
    running.push_crashing("web:3");
    let target = Target::stateful_set("default", "db");
    let backend = Running::backend_on(api.clone());
    let back = Rollout::new(backend, target, Change::image("app", "web:3"), Rolling::default());
    let outcome = back.run().await.unwrap().outcome;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let calls = running.cluster.api().calls().of_user("zdd");
    assert_eq!(authorizer().unused(&calls), Vec::<String>::new());
}
