use super::*;

const NOW: &str = "2026-01-01T10:00:00Z";

/// A running, ready pod on a node, ready since `ready` and created an hour ago.
fn pod(uid: &str, ready: Option<&str>) -> Value {
    json!({
        "metadata": {"name": uid, "uid": uid, "creationTimestamp": "2026-01-01T09:00:00Z"},
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{
                "type": "Ready",
                "status": if ready.is_some() { "True" } else { "False" },
                "lastTransitionTime": ready.unwrap_or(NOW),
            }],
        },
    })
}

fn long_ready(uid: &str) -> Value {
    pod(uid, Some("2026-01-01T09:30:00Z"))
}

fn with(mut pod: Value, pointer: &str, key: &str, value: impl Into<Value>) -> Value {
    pod.pointer_mut(pointer).unwrap()[key] = value.into();
    pod
}

/// Checks that `first` is deleted before `second`, whichever way they are compared.
#[track_caller]
fn check(first: &Value, second: &Value) {
    let now: Timestamp = NOW.parse().unwrap();
    assert_eq!(deletion_order((first, 0), (second, 0), now), Ordering::Less);
    assert_eq!(deletion_order((second, 0), (first, 0), now), Ordering::Greater);
}

#[test]
fn unassigned_pods_go_before_assigned_ones() {
    let unassigned = with(long_ready("z"), "/spec", "nodeName", Value::Null);
    check(&unassigned, &pod("a", None));
}

#[test]
fn pending_goes_before_unknown_before_running() {
    let pending = with(pod("z", None), "/status", "phase", "Pending");
    let unknown = with(pod("y", None), "/status", "phase", "Unknown");
    check(&pending, &unknown);
    check(&unknown, &pod("a", None));
}

#[test]
fn unready_goes_before_ready_whatever_its_cost() {
    let costly = json!({"controller.kubernetes.io/pod-deletion-cost": "1000"});
    let unready = with(pod("z", None), "/metadata", "annotations", costly);
    check(&unready, &long_ready("a"));
}

#[test]
fn the_cheaper_pod_goes_first() {
    let cheap = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
    check(&with(long_ready("z"), "/metadata", "annotations", cheap), &long_ready("a"));
}

#[test]
fn a_pod_on_a_crowded_node_goes_first() {
    let now: Timestamp = NOW.parse().unwrap();
    let (a, z) = (long_ready("a"), long_ready("z"));
    assert_eq!(deletion_order((&z, 3), (&a, 1), now), Ordering::Less);
}

#[test]
fn the_pod_that_is_ready_for_less_time_goes_first_by_powers_of_two() {
    check(&pod("z", Some("2026-01-01T09:59:00Z")), &long_ready("a"));
    // 30 and 29 minutes are the same power of two: the uid decides.
    check(&long_ready("a"), &pod("z", Some("2026-01-01T09:31:00Z")));
}

#[test]
fn more_restarts_go_first_and_then_the_younger() {
    let restarted =
        with(pod("z", None), "/status", "containerStatuses", json!([{"restartCount": 2}]));
    check(&restarted, &pod("a", None));
    let young = with(pod("z", None), "/metadata", "creationTimestamp", "2026-01-01T09:59:50Z");
    check(&young, &pod("a", None));
}

#[test]
fn a_pod_is_available_after_its_seconds_of_readiness() {
    let now: Timestamp = NOW.parse().unwrap();
    let ready = pod("a", Some("2026-01-01T09:59:30Z"));
    assert!(is_available(&ready, 30, now));
    assert!(!is_available(&ready, 31, now));
    assert!(!is_available(&pod("a", None), 0, now));
    assert_eq!(next_available([&ready], 45, now), Some(Duration::from_secs(15)));
    assert_eq!(next_available([&ready], 30, now), None);
}
