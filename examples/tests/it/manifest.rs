//! The numbers of the manifest fit each other and the program.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use zdd_shutdown::Shutdown;

const MANIFEST: &str = include_str!("../../manifests/graceful_server.yaml");
/// What the kubelet and the runtime need of the grace.
const KUBELET: u64 = 3;

fn pod() -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
    let deployment = documents.iter().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"].clone()
}

/// The path that a probe of the manifest asks for.
#[cfg(feature = "graceful-server")]
pub(crate) fn probe_path(probe: &str) -> String {
    pod()["containers"][0][probe]["httpGet"]["path"].as_str().unwrap().to_owned()
}

fn environment(pod: &Value) -> BTreeMap<String, String> {
    let env = pod["containers"][0]["env"].as_array().unwrap();
    env.iter()
        .filter_map(|entry| {
            Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.to_owned()))
        })
        .collect()
}

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn the_program_takes_the_environment_without_a_warning() {
    let env = environment(&pod());
    let in_cluster = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".to_owned()),
        other => env.get(other).cloned(),
    };
    let shutdown = Shutdown::builder().from_lookup(in_cluster).embed().unwrap();
    assert!(shutdown.warnings().is_empty(), "{:?}", shutdown.warnings());
    shutdown.trigger(zdd_shutdown::Reason::Completed);
}

#[test]
fn a_smaller_grace_would_be_warned_about() {
    let env = environment(&pod());
    let too_small = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".to_owned()),
        "ZDD_TERMINATION_GRACE" => Some("30s".to_owned()),
        other => env.get(other).cloned(),
    };
    let shutdown = Shutdown::builder().from_lookup(too_small).embed().unwrap();
    assert!(!shutdown.warnings().is_empty());
    shutdown.trigger(zdd_shutdown::Reason::Completed);
}

#[test]
fn the_grace_covers_the_deadline_and_the_kubelet() {
    let pod = pod();
    let env = environment(&pod);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let lifecycle = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let pre_stop = lifecycle.as_u64().unwrap_or(0);
    assert_eq!(seconds(&env["ZDD_TERMINATION_GRACE"]), grace);
    assert_eq!(seconds(&env["ZDD_PRE_STOP"]), pre_stop);
    assert!(pre_stop + seconds(&env["ZDD_SHUTDOWN_DEADLINE"]) + KUBELET <= grace);
}

#[test]
fn readiness_takes_the_pod_out_within_the_lame_duck() {
    let probe = &pod()["containers"][0]["readinessProbe"];
    let number = |name: &str| probe[name].as_u64().unwrap();
    let noticed = Duration::from_secs(number("periodSeconds") * number("failureThreshold"));
    // The least that the lame duck lasts in a pod.
    assert!(noticed <= Duration::from_secs(5), "{noticed:?}");
}
