//! The checker, at the edges of Kubernetes' arithmetic.

use serde_json::json;
use zdd_core::{
    Amount, Baseline, Change, Entry, Event, GateRecords, Observation, Part, Settings, Snapshot,
    State, Step, Target, Tracker, Uid, Version, Workload, WorkloadKind, invariant,
};

use crate::ideal::{epoch, template};

/// Whether the template may be set under these knobs.
#[track_caller]
fn check(kind: WorkloadKind, replicas: u32, (surge, missing): (&str, &str), allowed: bool) {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let start = serde_json::from_value(json!({
        "rollout": "r1",
        "target": Target::new(kind, "default", "web"),
        "uid": "uid-1",
        "strategy": "any",
        "change": Change::image("web", "web:2"),
        "template": template("web:2"),
        "baseline": Baseline::new(template("web:1"), Settings::default()),
    }));
    let started = Event::Started(Box::new(start.unwrap()));
    let state = State::begin(&Entry::new(now, epoch(1), started)).unwrap();
    let mut workload = Workload::new(Uid::new("uid-1"), Version::new("1"), 1, template("web:1"));
    workload.replicas = replicas;
    let mut snapshot = Snapshot::default();
    snapshot.workload = Some(workload);
    let mut settings = Settings::default();
    settings.max_surge = Some(surge.parse::<Amount>().unwrap());
    settings.max_unavailable = Some(missing.parse::<Part>().unwrap());
    let (tracker, gates) = (Tracker::new(now), GateRecords::new());
    let seen = Observation::new(&state, &snapshot, &tracker, &gates, now);
    let step = Step::SetTemplate { template: template("web:2"), settings };
    let result = invariant::check(&step, &seen);
    assert_eq!(result.is_ok(), allowed, "{kind} {replicas} {surge} {missing}: {result:?}");
}

#[test]
fn no_pod_may_be_missing_by_the_controllers_own_rounding() {
    check(WorkloadKind::Deployment, 10, ("1", "0"), true);
    check(WorkloadKind::Deployment, 10, ("1", "1"), false);
    // A Deployment rounds down ...
    check(WorkloadKind::Deployment, 10, ("1", "9%"), true);
    check(WorkloadKind::Deployment, 10, ("1", "10%"), false);
    // ... but takes one when nothing would be left to move with.
    check(WorkloadKind::Deployment, 10, ("0", "9%"), false);
    // A DaemonSet rounds up.
    check(WorkloadKind::DaemonSet, 10, ("1", "0"), true);
    check(WorkloadKind::DaemonSet, 10, ("1", "1%"), false);
    check(WorkloadKind::DaemonSet, 10, ("1", "0%"), true);
    // A StatefulSet replaces in place: one, and no more.
    check(WorkloadKind::StatefulSet, 10, ("0", "19%"), true);
    check(WorkloadKind::StatefulSet, 10, ("0", "20%"), false);
}
