//! What cannot work is refused before the first write, with what to do.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};
use zdd_core::{Amount, Backend, Change, Outcome, Rollout, Target, Template, chain};
use zdd_sim::{Authorizer, Collection, Faults, LoadSpec, Object};
use zdd_strategies::{Rolling, RollingConfig, Stage};

use crate::support::{
    Running, daemon_set, deployment, refusal, rollout, started, started_with, stateful_set,
    template, to, web,
};

/// Runs a rollout that must be refused, and checks that nothing was written but a lease.
async fn refused(running: &Running, rollout: Rollout) -> String {
    let before = running.get(&Collection::DEPLOYMENTS, "web");
    let text = refusal(rollout.run().await);
    assert_eq!(running.get(&Collection::DEPLOYMENTS, "web"), before);
    let kept = running.list(&Collection::CONFIG_MAPS);
    let journals = kept.iter().filter(|kept| kept.name().starts_with("zdd-"));
    assert_eq!(journals.count(), 0, "a journal was begun");
    text
}

fn target(backend: Backend, target: Target) -> Rollout {
    Rollout::new(backend, target, to("web:2"), Rolling::default())
}

#[tokio::test(start_paused = true)]
async fn an_unknown_target_is_refused() {
    let running = started().await;
    let rollout = target(running.backend(), Target::deployment("default", "wob"));
    let leases = running.list(&Collection::LEASES).len();
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/wob: Deployment default/wob: it does not exist; create it first, or look at the namespace");
    assert_eq!(running.list(&Collection::LEASES).len(), leases, "a lease for nothing");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_namespace_is_refused_at_once() {
    let running = started().await;
    let start = tokio::time::Instant::now();
    let rollout = target(running.backend(), Target::deployment("shop", "web"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment shop/web: Deployment shop/web: it does not exist; create it first, or look at the namespace");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_not_accepted_are_told_at_once() {
    let running = started().await;
    // The rollout's first request, for its lease, and the plan's first, for its target.
    let always = (0..50).map(|at| format!("{at}:error-before=401")).collect::<Vec<_>>().join(",");
    let backend = || {
        let faults = Faults::new(always.parse().unwrap());
        Running::backend_on(running.cluster.api().with_faults(faults))
    };
    let start = tokio::time::Instant::now();
    assert_snapshot!(refused(&running, target(backend(), web())).await, @"failed to start the rollout of Deployment default/web: failed to take the lease of Deployment default/web: failed to get Lease default/zdd-deployment-web: the cluster does not accept the credentials; renew them: the server responded with the status code 401 but did not return more information");
    let plan = target(backend(), web()).plan().await;
    assert_snapshot!(chain(&plan.unwrap_err()), @"failed to roll out Deployment default/web: failed to create selfsubjectaccessreviews: the cluster does not accept the credentials; renew them: the server responded with the status code 401 but did not return more information");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_renewed_midway_do_not_end_the_rollout() {
    let running = started().await;
    // A server that cannot check them for a while: from after the first write of the template on.
    let while_away = (24..30).map(|at| format!("{at}:error-before=401"));
    let plan = while_away.collect::<Vec<_>>().join(",");
    let faults = Faults::new(plan.parse().unwrap());
    let backend = Running::backend_on(running.cluster.api().with_faults(faults.clone()));
    let report = target(backend, web()).run().await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(faults.injected().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_target_of_another_kind_is_named() {
    let running = started().await;
    let rollout = target(running.backend(), Target::stateful_set("default", "web"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out StatefulSet default/web: StatefulSet default/web: it does not exist, but a Deployment of that name does; target that");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_container_is_refused_with_those_that_exist() {
    let running = started().await;
    let rollout = rollout(running.backend(), Change::image("sidecar", "proxy:2"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: it has no container sidecar; name one of: app");
}

#[tokio::test(start_paused = true)]
async fn missing_rights_are_named_all_at_once() {
    let running = started().await;
    let role = json!({ "kind": "Role", "metadata": { "name": "view", "namespace": "default" }, "rules": [
        { "apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "patch"] },
    ] });
    let api = running.cluster.api().with_authorizer(Authorizer::from_roles([&role]).unwrap());
    let rollout = rollout(Running::backend_on(api), to("web:2"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: not allowed to patch deployments.apps, create configmaps, patch configmaps in namespace default; grant it, as in the manifest of the minimal role: the server says so when asked (SelfSubjectAccessReview)");
}

#[tokio::test(start_paused = true)]
async fn a_driver_without_any_rights_fails_at_the_lease() {
    let running = started().await;
    let role = json!({ "kind": "Role", "metadata": { "name": "none", "namespace": "default" }, "rules": [] });
    let api = running.cluster.api().with_authorizer(Authorizer::from_roles([&role]).unwrap());
    let rollout = rollout(Running::backend_on(api), to("web:2"));
    assert_snapshot!(refused(&running, rollout).await, @r#"failed to start the rollout of Deployment default/web: failed to take the lease of Deployment default/web: not allowed to get Lease default/zdd-deployment-web; grant it, as in the manifest of the minimal role: leases.coordination.k8s.io "zdd-deployment-web" is forbidden: User "kubernetes-admin" cannot get resource "leases" in API group "coordination.k8s.io" in the namespace "default""#);
}

#[tokio::test(start_paused = true)]
async fn labels_that_the_selector_does_not_match_are_refused() {
    let running = started().await;
    let mut wanted = template("web:2");
    wanted["metadata"]["labels"] = json!({ "app": "wob" });
    let rollout = rollout(running.backend(), Change::Template(Template::new(wanted)));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: the labels of the new template do not match its selector (app=web), which cannot change; give the template these labels; Service web selects the present pods but would not select the new ones; keep the labels that it selects, or change its selector first");
}

#[tokio::test(start_paused = true)]
async fn pods_that_no_service_selects_are_warned_about() {
    let running = started().await;
    running.edit(&Collection::SERVICES, "web", |service| {
        service["spec"]["selector"] = json!({ "app": "wob" });
    });
    let plan = rollout(running.backend(), to("web:2")).plan().await.unwrap();
    assert_snapshot!(plan.warnings.join("\n"), @"no Service selects its pods: nothing shows whether traffic has followed, and only the pods' own readiness is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_knob_that_could_not_be_given_back_is_refused() {
    let running = started().await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| {
        object["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = json!("a few");
    });
    let rollout = rollout(running.backend(), to("web:2"));
    assert_snapshot!(refused(&running, rollout).await, @r#"failed to roll out Deployment default/web: Deployment default/web: spec.strategy.rollingUpdate.maxSurge: "a few" is not a number of pods, as 2, or a percentage of them, as 25%; set it to one"#);
}

#[tokio::test(start_paused = true)]
async fn a_surge_that_a_daemon_set_cannot_have_is_refused() {
    let running = started().await;
    let strategy =
        Rolling::new(RollingConfig::default().max_surge("101%".parse::<Amount>().unwrap()));
    let agent = Target::daemon_set("default", "agent");
    let rollout = Rollout::new(running.backend(), agent, to("web:2"), strategy.unwrap());
    assert_snapshot!(refused(&running, rollout).await, @"strategy rolling cannot roll out DaemonSet default/agent: maxSurge is 101%, but a DaemonSet has one pod on each node and one beside it at most; ask for 100% or less");
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_that_leaves_its_pods_to_its_owner_is_refused() {
    let running = started().await;
    let mut object = stateful_set(2, "web:1");
    object["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
    running.create(object).await;
    let rollout = target(running.backend(), Target::stateful_set("default", "db"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out StatefulSet default/db: StatefulSet default/db: spec.updateStrategy.type is OnDelete, which leaves the pods to you; set it to RollingUpdate");
}

#[tokio::test(start_paused = true)]
async fn a_grace_shorter_than_the_drain_is_refused() {
    let running = started().await;
    let strategy = Rolling::new(RollingConfig::default().drain(Duration::from_secs(45))).unwrap();
    let rollout = Rollout::new(running.backend(), web(), to("web:2"), strategy);
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: terminationGracePeriodSeconds is 30, but pods need 45 s to drain: they would be killed with requests in flight; set it to 45 or more");
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_ends_all_pods_first_is_refused() {
    let mut object = deployment(2, "web:1");
    object["spec"]["strategy"] = json!({ "type": "Recreate" });
    let running = started_with(object).await;
    let rollout = rollout(running.backend(), to("web:2"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: spec.strategy.type is Recreate, which ends all pods before it starts new ones; set it to RollingUpdate");
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_is_refused() {
    let running = started().await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["paused"] = json!(true));
    let rollout = rollout(running.backend(), to("web:2"));
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: it is paused; resume it first (kubectl rollout resume), or its owner's wish is lost");
}

#[tokio::test(start_paused = true)]
async fn a_plan_for_a_paused_deployment_is_refused_as_its_rollout_is() {
    let running = started().await;
    running.edit(&Collection::DEPLOYMENTS, "web", |object| object["spec"]["paused"] = json!(true));
    let planned = rollout(running.backend(), to("web:2")).plan().await;
    let ran = rollout(running.backend(), to("web:2")).run().await;
    assert_eq!(chain(&planned.unwrap_err()), refusal(ran));
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_each_wait_once_for_every_kind() {
    let running = started().await;
    running.create(stateful_set(3, "web:1")).await;
    running.create(daemon_set("web:1")).await;
    let staged =
        || Rolling::new(RollingConfig::default().stage(Stage::new(2, Duration::from_secs(60))));
    let mut plans = String::new();
    for (target, strategy) in [
        (web(), staged().unwrap()),
        (Target::stateful_set("default", "db"), staged().unwrap()),
        (Target::daemon_set("default", "agent"), Rolling::default()),
    ] {
        running.up(&target).await;
        let rollout = Rollout::new(running.backend(), target, to("web:2"), strategy);
        let mut plan = rollout.plan().await.unwrap();
        plan.warnings.clear();
        plans.push_str(&plan.to_string());
    }
    assert_snapshot!(plans, @"
    rolling of Deployment default/web: set image of container app to web:2
      1. set the pod template (maxSurge 1, maxUnavailable 0)  [taken back by: set-template]
      2. stage: the first 2 pods to be ready, 0 of them are
      3. pause  [taken back by: resume]
      4. bake: everything must stay well, 60 s
      5. resume  [taken back by: pause]
      6. converge: the other pods to become available
      7. give settings back (maxSurge 25%, maxUnavailable 25%)  [taken back by: restore-settings]
    rolling of StatefulSet default/db: set image of container app to web:2
      1. set the pod template (partition 1)  [taken back by: set-template]
      2. stage: the first 2 pods to be ready, 0 of them are
      3. bake: everything must stay well, 60 s
      4. set partition to 0  [taken back by: set-partition]
      5. converge: the other pods to become available
    rolling of DaemonSet default/agent: set image of container app to web:2
      1. set the pod template (maxSurge 1, maxUnavailable 0)  [taken back by: set-template]
      2. converge: new pods to become available
      3. give settings back (maxSurge 0, maxUnavailable 1)  [taken back by: restore-settings]
    ");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_not_kept_is_said_so() {
    let running = started().await;
    let undo = |revision| rollout(running.backend(), Change::Undo { revision });
    assert_snapshot!(refused(&running, undo(None)).await, @"failed to roll out Deployment default/web: Deployment default/web: there is no revision before the present one in its history (there: 1; revisionHistoryLimit says how many are kept); set the image or the template instead");
    assert_snapshot!(refused(&running, undo(Some(7))).await, @"failed to roll out Deployment default/web: Deployment default/web: revision 7 is not in its history (there: 1; revisionHistoryLimit says how many are kept); set the image or the template instead");
}

#[tokio::test(start_paused = true)]
async fn several_problems_are_told_at_once() {
    let mut object = deployment(2, "web:1");
    object["spec"]["strategy"] = json!({ "type": "Recreate" });
    let running = started_with(object).await;
    let strategy = Rolling::new(RollingConfig::default().drain(Duration::from_secs(45))).unwrap();
    let rollout = Rollout::new(running.backend(), web(), to("web:2"), strategy);
    assert_snapshot!(refused(&running, rollout).await, @"failed to roll out Deployment default/web: Deployment default/web: spec.strategy.type is Recreate, which ends all pods before it starts new ones; set it to RollingUpdate; terminationGracePeriodSeconds is 30, but pods need 45 s to drain: they would be killed with requests in flight; set it to 45 or more");
}

#[tokio::test(start_paused = true)]
async fn another_driver_at_work_is_named() {
    let running = started().await;
    let lease = zdd_kube::KubeLease::new(running.cluster.client()).holder("ci-job-41");
    let held = zdd_core::Lease::acquire(&lease, &web()).await.unwrap();
    let before = running.deployment();
    let text = refusal(rollout(running.backend(), to("web:2")).run().await);
    let named = text.contains("is being rolled out by ci-job-41-");
    assert!(named, "{text}");
    assert_eq!(running.deployment(), before);
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn warnings_tell_what_stops_nothing() {
    let mut object = deployment(2, "web:1");
    let container = &mut object["spec"]["template"]["spec"]["containers"][0];
    container["readinessProbe"] = Value::Null;
    let running = started_with(object).await;
    running.edit(&Collection::SERVICES, "web", |service| {
        service["spec"]["sessionAffinity"] = json!("ClientIP");
    });
    let plan = rollout(running.backend(), to("web:2")).plan().await;
    let plan = plan.map_err(|error| chain(&error)).unwrap();
    assert_snapshot!(plan.warnings.join("\n"), @r#"
Service web has session affinity: each client moves to a new pod once, when its own goes
container app has no readinessProbe: it gets requests as soon as its process runs, whether it listens or not; requests may fail
"#);
    assert_snapshot!(plan, @r#"
rolling of Deployment default/web: set image of container app to web:2
  1. set the pod template (maxSurge 1, maxUnavailable 0)  [taken back by: set-template]
  2. converge: new pods to become available
  3. give settings back (maxSurge 25%, maxUnavailable 25%)  [taken back by: restore-settings]
     warning: Service web has session affinity: each client moves to a new pod once, when its own goes
     warning: container app has no readinessProbe: it gets requests as soon as its process runs, whether it listens or not; requests may fail
"#);
}

#[tokio::test(start_paused = true)]
async fn a_plan_writes_nothing() {
    let running = started().await;
    let revision = running.cluster.with_store(|store| store.revision());
    rollout(running.backend(), to("web:2")).plan().await.unwrap();
    assert_eq!(running.cluster.with_store(|store| store.revision()), revision);
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 100));
    assert_eq!(traffic.counts().failed, 0);
}
