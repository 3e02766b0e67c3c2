//! Every strategy under every single fault, and under seeded pairs of faults and foreign edits.

use std::time::Duration;

use zdd_core::WorkloadKind;
use zdd_strategies::{Rolling, RollingConfig, Stage};
use zdd_testkit::{Scenario, Trial};

fn config() -> RollingConfig {
    RollingConfig::default().soak(Duration::from_secs(2)).progress_deadline(Duration::from_secs(60))
}

fn rolling() -> Rolling {
    Rolling::new(config()).unwrap()
}

fn staged() -> Rolling {
    Rolling::new(config().stage(Stage::new(1, Duration::from_secs(3)))).unwrap()
}

/// A strategy joins by one line here.
fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("rolling", rolling),
        Scenario::new("rolling-staged", staged),
        Scenario::new("rolling-crash", rolling).to_bad("web:crash"),
        Scenario::new("rolling-missing", rolling).to_bad("web:missing"),
        Scenario::new("rolling-never-ready", rolling).to_bad("web:never-ready"),
        Scenario::new("rolling-stateful", rolling).kind(WorkloadKind::StatefulSet),
        Scenario::new("rolling-stateful-staged", staged).kind(WorkloadKind::StatefulSet),
        Scenario::new("rolling-stateful-crash", rolling)
            .kind(WorkloadKind::StatefulSet)
            .to_bad("web:crash"),
        Scenario::new("rolling-daemon", rolling).kind(WorkloadKind::DaemonSet),
        Scenario::new("rolling-daemon-crash", rolling)
            .kind(WorkloadKind::DaemonSet)
            .to_bad("web:crash"),
    ]
}

#[test]
fn no_single_fault_loses_a_request_or_changes_the_end() {
    let only = std::env::var("ZDD_SCENARIO").ok();
    for scenario in scenarios() {
        if only.as_ref().is_some_and(|only| scenario.name() != only) {
            continue;
        }
        let findings = scenario.every_fault();
        println!("{}: {} runs, {} faults met", scenario.name(), findings.runs, findings.met);
        findings.expect_none();
        assert!(findings.met * 10 >= findings.runs * 9, "most planned faults are met");
    }
}

#[test]
fn no_absence_of_the_api_server_loses_a_request_or_changes_the_end() {
    for scenario in scenarios() {
        let findings = scenario.every_outage();
        println!("{}: {} runs, {:?}", scenario.name(), findings.runs, findings.outcomes);
        findings.expect_none();
    }
}

/// `ZDD_SEEDS=20000` sets how many; `cargo xtask test --seeds 20000` does so.
#[test]
fn no_pair_of_faults_with_foreign_edits_breaks_a_safety_rule() {
    let seeds = std::env::var("ZDD_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let first =
        std::env::var("ZDD_FIRST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let only = std::env::var("ZDD_SCENARIO").ok();
    let scenarios = scenarios();
    let share = (seeds / scenarios.len() as u64).max(1);
    for (place, scenario) in (0..).zip(scenarios) {
        if only.as_ref().is_some_and(|only| scenario.name() != only) {
            continue;
        }
        let start = first + place * share;
        let findings = scenario.seeds(start..start + share);
        println!("{}: {} runs, {:?}", scenario.name(), findings.runs, findings.outcomes);
        findings.expect_none();
    }
}

/// Replays one trial: `ZDD_REPLAY='rolling seed=7 faults=3:crash-after'`.
#[test]
fn replay() {
    let Ok(text) = std::env::var("ZDD_REPLAY") else { return };
    let (name, trial) = text.split_once(' ').expect("write a scenario, a space, and a trial");
    let scenario = scenarios().into_iter().find(|scenario| scenario.name() == name);
    let scenario = scenario.unwrap_or_else(|| panic!("there is no scenario {name}"));
    let trial: Trial = trial.parse().unwrap();
    let (observed, problems) = scenario.try_one(&trial);
    for (at, request) in observed.requests.iter().enumerate() {
        println!("{at:>4} {request}");
    }
    println!("outcome: {:?} after {:?} of virtual time", observed.outcome, observed.took);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_same_trial_gives_the_same_history() {
    for scenario in scenarios().into_iter().take(3) {
        let trial: Trial = "seed=11 faults=9:crash-after,14:drop-after".parse().unwrap();
        let (first, _) = scenario.try_one(&trial);
        let (second, _) = scenario.try_one(&trial);
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "{}", scenario.name());
    }
}
