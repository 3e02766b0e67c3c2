//! Every write of a rollout meets every fault once; the end is always the same.

use std::time::Duration;

use zdd_core::{Outcome, Report, RolloutError, chain};
use zdd_sim::{Collection, Fault, Faults, LoadSpec, Object, Plan};

use crate::support::{Running, deployment, rollout, started_with, to};

/// Virtual time that one process may take, whatever the fault.
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs one process with the given faults; `None` when it crashed.
async fn process(running: &Running, faults: &Faults) -> Option<Result<Report, RolloutError>> {
    let api = running.cluster.api().with_faults(faults.clone());
    let rollout = rollout(Running::backend_on(api), to("web:2"));
    tokio::select! {
        biased;
        () = faults.crashed() => None,
        result = tokio::time::timeout(LIMIT, rollout.run()) => {
            Some(result.unwrap_or_else(|_| panic!("no end under {:?}", faults.injected())))
        }
    }
}

/// Runs processes until one comes to an end, the first one with the fault.
async fn rolls_out(at: usize, fault: Fault) {
    let running = started_with(deployment(2, "web:1")).await;
    let traffic = running.cluster.send(LoadSpec::new("default", "web", 50));
    let plan = Plan::single(at, fault.clone());
    let faults = Faults::new(plan);
    let place = || format!("{at}:{fault:?}");
    let mut result = process(&running, &faults).await;
    for _ in 0..3 {
        match &result {
            Some(Ok(_)) => break,
            // A process that cannot know or act stops; the next one goes on.
            Some(Err(_)) | None => result = process(&running, &Faults::none()).await,
        }
    }
    let report = result.unwrap_or_else(|| panic!("{}: crashed without a plan", place()));
    let report = report.unwrap_or_else(|error| panic!("{}: {}", place(), chain(&error)));
    assert_eq!(report.outcome, Outcome::Promoted, "{}", place());
    assert_eq!(running.images(), ["web:2"], "{}", place());
    let deployment = running.deployment();
    let strategy = &deployment["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(strategy["maxUnavailable"], "25%", "{}", place());
    assert_eq!(strategy["maxSurge"], "25%", "{}", place());
    assert_eq!(running.list(&Collection::REPLICA_SETS).len(), 2, "{}", place());
    // One change of the template, one of the knobs.
    assert_eq!(deployment.generation(), 3, "{}", place());
    let counts = traffic.counts();
    assert_eq!(counts.failed, 0, "{}: {counts:?}", place());
}

#[tokio::test(start_paused = true)]
async fn each_write_meets_each_fault() {
    let faults = Faults::none();
    process(&started_with(deployment(2, "web:1")).await, &faults).await.unwrap().unwrap();
    let requests = faults.requests();
    assert!(requests.iter().filter(|seen| seen.verb.writes()).count() > 10);
    for (at, seen) in requests.iter().enumerate().filter(|(_, seen)| seen.verb.writes()) {
        for fault in Fault::all_for(seen.verb) {
            rolls_out(at, fault).await;
        }
    }
}
