//! Looks for a trial that breaks a scenario.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zdd_core::Outcome;
use zdd_sim::{Fault, Plan, Verb};

use crate::edit::Edit;
use crate::lull::{Lull, Still};
use crate::run::{self, Observed};
use crate::scenario::{Goal, Scenario};
use crate::trial::Trial;

/// The seed of runs whose seed does not matter.
const SEED: u64 = 1;
/// How much more requests than without faults a driver may send before it counts as a hot loop.
const REQUESTS: usize = 12;
/// The moments of a run at which the API server goes.
const MOMENTS: u32 = 40;
/// How long it is away; a lease is valid for 30 s.
const AWAY: Duration = Duration::from_secs(45);

/// A trial that broke a scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The scenario's name.
    pub scenario: String,
    /// The trial.
    pub trial: Trial,
    /// What was wrong, one line each.
    pub problems: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} under {}:", self.scenario, self.trial)?;
        for problem in &self.problems {
            writeln!(f, "  {problem}")?;
        }
        write!(
            f,
            "  replay: ZDD_REPLAY='{} {}' cargo test -p zdd-testkit --test it replay -- --nocapture",
            self.scenario, self.trial
        )
    }
}

/// What a search found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Findings {
    /// Runs in all.
    pub runs: usize,
    /// Faults that were really met.
    pub met: usize,
    /// Simulated requests in all runs.
    pub requests: u64,
    /// Outcomes and how often each came.
    pub outcomes: BTreeMap<String, usize>,
    /// What broke.
    pub failures: Vec<Failure>,
}

impl Findings {
    /// Fails the test when anything broke, and says how to replay it.
    ///
    /// # Panics
    /// When there are failures.
    #[track_caller]
    pub fn expect_none(&self) -> &Self {
        let shown: Vec<String> = self.failures.iter().take(5).map(Failure::to_string).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} runs failed\n{}",
            self.failures.len(),
            self.runs,
            shown.join("\n")
        );
        self
    }

    fn take(&mut self, observed: &Observed) {
        self.runs += 1;
        self.met += observed.met;
        self.requests += observed.sent;
        let outcome = match &observed.outcome {
            Ok(Outcome::Promoted) => "promoted",
            Ok(Outcome::RolledBack { .. }) => "rolled back",
            Ok(Outcome::Stuck { .. }) => "stuck",
            Ok(Outcome::Superseded { .. }) => "superseded",
            Err(_) => "error",
        };
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
}

impl Scenario {
    /// Runs without any disturbance.
    #[must_use]
    pub fn reference(&self) -> Observed {
        run::run(self, &Trial::calm(SEED))
    }

    /// Runs one trial and says what was wrong, compared with [`reference`](Self::reference).
    #[must_use]
    pub fn try_one(&self, trial: &Trial) -> (Observed, Vec<String>) {
        self.compare(&self.reference(), trial)
    }

    fn compare(&self, reference: &Observed, trial: &Trial) -> (Observed, Vec<String>) {
        let observed = run::run(self, trial);
        let problems = self.judge(reference, &observed, trial);
        (observed, problems)
    }

    /// Meets every request of the fault-free run with every fault that it can meet, one per run.
    #[must_use]
    pub fn every_fault(&self) -> Findings {
        let reference = self.reference();
        let requests = reference.requests.iter().enumerate();
        let trials: Vec<Trial> = requests
            .flat_map(|(at, seen)| {
                let faults = Fault::all_for(seen.verb).into_iter();
                let faults = faults.filter(|fault| seen.can_meet(fault));
                faults.map(move |fault| Trial {
                    faults: Plan::single(at, fault),
                    ..Trial::calm(SEED)
                })
            })
            .collect();
        self.search(&reference, &trials)
    }

    /// Takes the API server away at one moment after another of the fault-free run, for longer than
    /// a lease is valid, once per run.
    #[must_use]
    pub fn every_outage(&self) -> Findings {
        let reference = self.reference();
        let trials: Vec<Trial> = (0..MOMENTS)
            .map(|moment| {
                let away = Lull { part: Still::Api, time: AWAY };
                let at = reference.took * moment / MOMENTS;
                Trial { lull: Some((at, away)), ..Trial::calm(SEED) }
            })
            .collect();
        self.search(&reference, &trials)
    }

    /// Runs trials with two random faults, random edits by others, and random parts of the cluster
    /// that stand still for a while.
    #[must_use]
    pub fn seeds(&self, seeds: std::ops::Range<u64>) -> Findings {
        let reference = self.reference();
        let verbs: Vec<Verb> = reference.requests.iter().map(|seen| seen.verb).collect();
        let trials: Vec<Trial> = seeds.map(|seed| Trial::random(seed, &verbs)).collect();
        self.search(&reference, &trials)
    }

    /// Runs trials on all processors; the findings are in the order of the trials.
    fn search(&self, reference: &Observed, trials: &[Trial]) -> Findings {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let found = Mutex::new((Findings::default(), BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let (observed, problems) = self.compare(reference, trial);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.0.take(&observed);
                        if !problems.is_empty() {
                            let scenario = self.name.clone();
                            let failure = Failure { scenario, trial: trial.clone(), problems };
                            found.1.insert(trial.to_string(), failure);
                        }
                    }
                });
            }
        });
        let (mut findings, failures) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.failures = failures.into_values().collect();
        findings
    }

    fn judge(&self, reference: &Observed, observed: &Observed, trial: &Trial) -> Vec<String> {
        let mut problems = observed.violations.clone();
        let edit = trial.edit.map(|(_, edit)| edit);
        match (&observed.outcome, edit) {
            // A target that is gone cannot be rolled out by a driver that begins after that.
            (Err(error), Some(Edit::Delete)) if error.contains("does not exist") => {}
            (Err(error), _) => problems.push(format!("I6: it did not end: {error}")),
            (Ok(outcome), None) => self.at_goal(outcome, &mut problems),
            (Ok(outcome), Some(edit)) if edit.leaves_the_goal() => {
                self.at_goal(outcome, &mut problems)
            }
            (Ok(Outcome::Stuck { .. }), Some(_)) => problems.push("I6: it got stuck".to_owned()),
            (Ok(_), Some(_)) => {}
        }
        if observed.gave_way && edit != Some(Edit::Rival) {
            problems.push("I8: it gave way to another driver, and there was none".to_owned());
        }
        if edit.is_none() {
            if let Some(difference) = observed.end.difference(&reference.end) {
                problems.push(format!("I5: another end than without faults: {difference}"));
            }
            if observed.changes != reference.changes {
                problems.push(format!(
                    "I5: {:?} created and deleted, without faults {:?}",
                    observed.changes, reference.changes
                ));
            }
        }
        let (sent, usual) = (observed.requests.len(), reference.requests.len());
        if sent > usual * REQUESTS && edit != Some(Edit::Rival) {
            problems.push(format!("I10: {sent} API requests, without faults {usual}"));
        }
        problems
    }

    fn at_goal(&self, outcome: &Outcome, problems: &mut Vec<String>) {
        let reached = match self.goal {
            Goal::Promoted => matches!(outcome, Outcome::Promoted),
            Goal::RolledBack => matches!(outcome, Outcome::RolledBack { .. }),
        };
        if !reached {
            problems.push(format!("it ended {outcome}, and should be {:?}", self.goal));
        }
    }
}
