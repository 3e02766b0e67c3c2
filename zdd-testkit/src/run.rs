//! One run: a scenario under a trial, from the first request to a quiet cluster.

use std::time::Duration;

use tokio::time::Instant;
use zdd_core::{Change, Clock, Outcome, Report, Rollout, RolloutError, RolloutId, chain};
use zdd_sim::{ApiServer, Entry, Faults, Plan, Seen};

use crate::checks;
use crate::edit::Edit;
use crate::end::{Changes, End};
use crate::lab::Lab;
use crate::manifest::CONTAINER;
use crate::scenario::Scenario;
use crate::trial::Trial;

/// Lives that a driver may need: more means that it does not get on.
const LIVES: usize = 12;
/// Virtual time in which a rollout must end, whatever happens.
const LIMIT: Duration = Duration::from_secs(3_600);
/// Pause before someone runs a rollout again that ended with an error.
const AGAIN: Duration = Duration::from_secs(60);
/// Virtual time in which a cluster becomes quiet after the end.
const QUIET: Duration = Duration::from_secs(120);
/// The user of the driver's requests.
const DRIVER: &str = "system:serviceaccount:default:zdd";

/// What one run showed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// How the rollout ended; the text of the last error when it never ended well.
    pub outcome: Result<Outcome, String>,
    /// Whether one of its lives ended because another driver had taken over.
    pub gave_way: bool,
    /// All requests of the driver, over all its lives.
    pub requests: Vec<Seen>,
    /// The faults that were really met.
    pub met: usize,
    /// The end of the cluster.
    pub end: End,
    /// Creations and deletions on the way.
    pub changes: Changes,
    /// What was against the safety rules.
    pub violations: Vec<String>,
    /// Virtual time of the rollout.
    pub took: Duration,
    /// Simulated requests that were sent.
    pub sent: u64,
}

/// Runs a scenario in a runtime of its own with paused time.
///
/// # Panics
/// When the runtime cannot be built.
pub(crate) fn run(scenario: &Scenario, trial: &Trial) -> Observed {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(observe(scenario, trial))
}

async fn observe(scenario: &Scenario, trial: &Trial) -> Observed {
    let cluster = Scenario::cluster(trial.seed);
    let lab = Lab::start(cluster, scenario.target.clone(), scenario.replicas).await;
    let first = lab.cluster().with_store(|store| store.revision());
    let started = Instant::now();
    let driver = Driver { scenario, lab: &lab };
    let (lives, (), ()) =
        tokio::join!(driver.lives(&trial.faults), driver.edit(trial), driver.lull(trial));
    let took = started.elapsed();
    tokio::time::sleep(QUIET).await;
    let requests = lab.requests();
    let (log, end) = lab.cluster().with_store(|store| {
        let log: Vec<Entry> = store.since(first).into_iter().flatten().cloned().collect();
        (log, End::of(store))
    });
    let mut violations = checks::violations(&scenario.target, &log, DRIVER);
    let deleted = matches!(trial.edit, Some((_, Edit::Delete)));
    // Requests to a workload that someone deleted are the deleter's loss.
    if requests.failed > 0 && !deleted {
        violations.push(format!("I1: {} requests failed: {:?}", requests.failed, requests.causes));
    }
    // No edit turns a knob of the rollout.
    violations.extend(
        lives.warnings.iter().filter(|warning| warning.contains("maxUnavailable")).cloned(),
    );
    if log.is_empty() {
        violations.push("the log was cut off: nothing can be said".to_owned());
    }
    Observed {
        outcome: lives.outcome,
        gave_way: lives.gave_way,
        requests: lives.requests,
        met: lives.met,
        end,
        changes: Changes::of(log.iter()),
        violations,
        took,
        sent: requests.sent,
    }
}

/// What the lives of a driver came to.
struct Lives {
    outcome: Result<Outcome, String>,
    gave_way: bool,
    requests: Vec<Seen>,
    met: usize,
    warnings: Vec<String>,
}

struct Driver<'a> {
    scenario: &'a Scenario,
    lab: &'a Lab,
}

impl Driver<'_> {
    /// Runs the rollout until it ends; after a crash or an error someone runs it again.
    async fn lives(&self, plan: &Plan) -> Lives {
        let mut lives = Lives {
            outcome: Err("never ran".to_owned()),
            gave_way: false,
            requests: Vec::new(),
            met: 0,
            warnings: Vec::new(),
        };
        let deadline = Instant::now() + LIMIT;
        for _ in 0..LIVES {
            let faults = Faults::new(rest(plan, lives.requests.len()));
            let api = self.lab.cluster().api().as_user(DRIVER).with_faults(faults.clone());
            let rollout = self.rollout(api, &self.scenario.image);
            let result = tokio::select! {
                biased;
                () = faults.crashed() => None,
                () = tokio::time::sleep_until(deadline) => {
                    lives.outcome = Err(format!("did not end within {LIMIT:?}"));
                    break;
                }
                result = rollout.run() => Some(result),
            };
            lives.requests.extend(faults.requests());
            lives.met += faults.injected().len();
            match result {
                Some(Ok(Report { outcome, warnings, .. })) => {
                    lives.outcome = Ok(outcome);
                    lives.warnings = warnings;
                    break;
                }
                Some(Err(error)) => {
                    let ended = is_final(&error);
                    lives.gave_way |= matches!(error, RolloutError::Lost { .. });
                    lives.outcome = Err(chain(&error));
                    if ended {
                        break;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                None => lives.outcome = Err("crashed too often".to_owned()),
            }
        }
        lives
    }

    fn rollout(&self, api: ApiServer, image: &str) -> Rollout {
        let client = kube::Client::new(api, &*self.scenario.target.namespace);
        let backend = (self.scenario.wrap)(zdd_kube::backend(client));
        let change = Change::image(CONTAINER, image);
        let strategy = (self.scenario.strategy)();
        let now = self.lab.cluster().with_store(|store| store.clock().now());
        Rollout::new(backend, self.scenario.target.clone(), change, strategy)
            .clock(Clock::starting_at(now))
            .id(RolloutId::new(format!("to-{image}")))
    }

    /// Lets someone else do something, if the trial says so.
    async fn edit(&self, trial: &Trial) {
        let Some((after, edit)) = trial.edit else { return };
        tokio::time::sleep(after).await;
        if edit == Edit::Rival {
            let api = self.lab.cluster().api().as_user(DRIVER);
            // Whether it is told to stay away or takes over, nothing must break.
            let rival = self.rollout(api, "web:4").run();
            let _ = tokio::time::timeout(LIMIT, rival).await;
        } else {
            edit.make(self.lab);
        }
    }

    /// Lets a part of the cluster stand still, if the trial says so.
    async fn lull(&self, trial: &Trial) {
        let Some((after, lull)) = trial.lull else { return };
        if lull.concerns(self.scenario.target.kind) {
            tokio::time::sleep(after).await;
            lull.make(self.lab.cluster()).await;
        }
    }
}

/// The faults that a later life still has to meet, counted from its own first request.
fn rest(plan: &Plan, seen: usize) -> Plan {
    let left = plan.iter().filter_map(|(at, fault)| Some((at.checked_sub(seen)?, fault.clone())));
    left.fold(Plan::default(), |plan, (at, fault)| plan.with(at, fault))
}

/// Errors that running it again cannot change.
fn is_final(error: &RolloutError) -> bool {
    matches!(error, RolloutError::Unsafe { .. } | RolloutError::Unsupported { .. })
}
