use serde_json::{Value, json};
use zdd_core::WorkloadKind::{DaemonSet, Deployment, StatefulSet};

use super::*;

#[track_caller]
fn check(kind: WorkloadKind, generation: i64, spec: &Value, status: &Value, expected: &str) {
    let mut document = json!({
        "spec": { "selector": {}, "template": { "spec": {} } },
        "status": status,
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    let workload: Workload = serde_json::from_value(document).unwrap();
    let meta = Meta { generation, ..Meta::default() };
    let told = match completion(kind, &meta, &workload) {
        Completion::Complete => "complete".to_owned(),
        Completion::DeadlineExceeded { message } => format!("deadline: {message}"),
        Completion::Unobserved => "unobserved".to_owned(),
        Completion::Waiting { what } => what,
        _ => "unknown".to_owned(),
    };
    assert_eq!(told, expected, "{kind} {spec} {status}");
}

fn available(status: &str) -> Value {
    json!({ "type": "Available", "status": status })
}

/// observedGeneration, replicas, updated, ready, available.
fn numbers(of: [u32; 5]) -> Value {
    json!({
        "observedGeneration": of[0], "replicas": of[1], "updatedReplicas": of[2],
        "readyReplicas": of[3], "availableReplicas": of[4],
    })
}

fn with(mut status: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

#[test]
fn a_deployment_is_complete_only_when_everything_is_new_and_available() {
    let spec = json!({ "replicas": 3 });
    let case = |of, expected| {
        let status = with(numbers(of), &json!({ "conditions": [available("True")] }));
        check(Deployment, 2, &spec, &status, expected);
    };
    case([2, 3, 3, 3, 3], "complete");
    case([1, 3, 3, 3, 3], "unobserved");
    case([0, 0, 0, 0, 0], "unobserved");
    case([2, 4, 1, 4, 4], "1 of 3 pods have the new template");
    case([2, 4, 3, 4, 4], "1 old pods are still there");
    case([2, 3, 3, 2, 2], "2 of 3 pods are available");
    case([2, 4, 4, 4, 4], "1 pods too many are still there");
}

#[test]
fn a_deployment_must_also_say_that_it_is_available() {
    let spec = json!({ "replicas": 3 });
    let expected = "the Deployment does not say that it is available";
    check(Deployment, 2, &spec, &numbers([2, 3, 3, 3, 3]), expected);
    let unsure = with(numbers([2, 3, 3, 3, 3]), &json!({ "conditions": [available("False")] }));
    check(Deployment, 2, &spec, &unsure, expected);
}

#[test]
fn a_deadline_counts_only_for_the_present_generation() {
    let spec = json!({ "replicas": 3 });
    let condition = json!({
        "type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "timed out",
    });
    let status = with(numbers([2, 4, 1, 3, 3]), &json!({ "conditions": [condition] }));
    check(Deployment, 2, &spec, &status, "deadline: timed out");
    check(Deployment, 3, &spec, &status, "unobserved");
}

#[test]
fn a_stale_progressing_condition_does_not_complete_a_deployment() {
    let condition = json!({
        "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
    });
    let status =
        with(numbers([2, 4, 1, 4, 4]), &json!({ "conditions": [condition, available("True")] }));
    check(Deployment, 2, &json!({ "replicas": 3 }), &status, "1 of 3 pods have the new template");
}

#[test]
fn no_replicas_are_complete_at_once() {
    let status = with(numbers([2, 0, 0, 0, 0]), &json!({ "conditions": [available("True")] }));
    check(Deployment, 2, &json!({ "replicas": 0 }), &status, "complete");
    let revisions = json!({ "currentRevision": "db-2", "updateRevision": "db-2" });
    let status = with(numbers([2, 0, 0, 0, 0]), &revisions);
    check(StatefulSet, 2, &json!({ "replicas": 0 }), &status, "complete");
}

#[test]
fn a_stateful_set_is_complete_only_when_the_revision_is_everywhere() {
    let spec = json!({ "replicas": 3 });
    let case = |of, current: &str, expected| {
        let revisions = json!({ "currentRevision": current, "updateRevision": "db-2" });
        check(StatefulSet, 2, &spec, &with(numbers(of), &revisions), expected);
    };
    case([2, 3, 3, 3, 3], "db-2", "complete");
    case([1, 3, 3, 3, 3], "db-2", "unobserved");
    case([2, 3, 0, 3, 3], "db-1", "0 of 3 pods have the new template");
    case([2, 2, 2, 2, 2], "db-1", "2 of 3 pods are there");
    case([2, 3, 3, 2, 2], "db-1", "2 of 3 pods are ready");
    case([2, 3, 3, 3, 2], "db-1", "2 of 3 pods are available");
    case([2, 3, 3, 3, 3], "db-1", "the controller has not made the new revision the current one");
    // Set back half-way: the revisions are equal at once, the pods are not.
    case([2, 3, 2, 3, 3], "db-2", "2 of 3 pods have the new template");
}

#[test]
fn a_partition_keeps_low_ordinals_back() {
    let spec = |partition: u32| {
        let rolling = json!({ "rollingUpdate": { "partition": partition } });
        json!({ "replicas": 3, "updateStrategy": rolling })
    };
    let revisions = json!({ "currentRevision": "db-1", "updateRevision": "db-2" });
    let case = |partition, updated, expected| {
        let status = with(numbers([2, 3, updated, 3, 3]), &revisions);
        check(StatefulSet, 2, &spec(partition), &status, expected);
    };
    case(2, 0, "0 of 1 pods have the new template");
    case(2, 1, "complete");
    case(1, 1, "1 of 2 pods have the new template");
    case(5, 0, "complete");
}

#[test]
fn a_daemon_set_is_complete_when_each_node_has_an_available_new_pod() {
    let case = |of: [u32; 4], expected| {
        let status = json!({
            "observedGeneration": of[0], "desiredNumberScheduled": of[1],
            "updatedNumberScheduled": of[2], "numberAvailable": of[3],
        });
        check(DaemonSet, 2, &json!({}), &status, expected);
    };
    case([2, 3, 3, 3], "complete");
    case([1, 3, 3, 3], "unobserved");
    case([2, 3, 2, 3], "2 of 3 pods have the new template");
    case([2, 3, 3, 2], "2 of 3 pods are available");
}

#[test]
fn a_replica_failure_is_told_in_the_words_of_the_cluster() {
    let status = |truth: &str| -> Status {
        let condition = json!({
            "type": "ReplicaFailure", "status": truth, "reason": "FailedCreate",
            "message": "exceeded quota: pods=6",
        });
        serde_json::from_value(json!({ "conditions": [condition] })).unwrap()
    };
    assert_eq!(replica_failure(&status("True")).as_deref(), Some("exceeded quota: pods=6"));
    assert_eq!(replica_failure(&status("False")), None);
}
