//! Proof that the harness bites: each of these is broken on purpose, and must be caught.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use zdd_core::{
    Backend, Cluster, ClusterError, Completion, Event, Journal, JournalError, Log, Mark, Part,
    Prepared, Request, Snapshot, Step, Target, Version,
};
use zdd_strategies::{Rolling, RollingConfig};
use zdd_testkit::{Edit, Findings, Scenario, Trial};

fn rolling() -> Rolling {
    Rolling::new(RollingConfig::default().progress_deadline(Duration::from_secs(60))).unwrap()
}

#[track_caller]
fn caught(findings: &Findings, by: &str) {
    let problems: Vec<&String> =
        findings.failures.iter().flat_map(|failure| &failure.problems).collect();
    let hit = problems.iter().any(|problem| problem.contains(by));
    assert!(hit, "not caught by {by}: {} runs, {problems:#?}", findings.runs);
}

/// A cluster adapter with one thing wrong.
struct Broken {
    inner: Arc<dyn Cluster>,
    fault: Wrong,
}

#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    /// Writes whatever the target has become in the meantime.
    NoPrecondition,
    /// Lets the controller take old pods away at once.
    ShrinksFirst,
    /// Says that the rollout is complete before it is.
    SeesTooMuch,
}

impl Broken {
    fn wrap(fault: Wrong) -> impl Fn(Backend) -> Backend {
        move |mut backend| {
            backend.cluster = Arc::new(Self { inner: backend.cluster, fault });
            backend
        }
    }

    fn show(fault: Wrong, mut snapshot: Snapshot) -> Snapshot {
        if fault == Wrong::SeesTooMuch
            && let Some(workload) = &mut snapshot.workload
        {
            workload.completion = Completion::Complete;
        }
        snapshot
    }
}

#[async_trait]
impl Cluster for Broken {
    async fn prepare(&self, request: &Request<'_>) -> Result<Prepared, ClusterError> {
        self.inner.prepare(request).await
    }

    async fn observe(&self, target: &Target) -> Result<Snapshot, ClusterError> {
        Ok(Self::show(self.fault, self.inner.observe(target).await?))
    }

    fn watch(&self, target: &Target) -> BoxStream<'static, Result<Snapshot, ClusterError>> {
        let fault = self.fault;
        self.inner.watch(target).map(move |item| Ok(Self::show(fault, item?))).boxed()
    }

    async fn apply(
        &self,
        step: &Step,
        seen: &Snapshot,
        mark: &Mark<'_>,
    ) -> Result<(), ClusterError> {
        let mut step = step.clone();
        let mut seen = seen.clone();
        match (self.fault, &mut step) {
            (Wrong::ShrinksFirst, Step::SetTemplate { settings, .. }) => {
                settings.max_unavailable = Some("100%".parse::<Part>().unwrap());
            }
            (Wrong::NoPrecondition, _) => {
                // A slow network: enough for someone else to write in between.
                tokio::time::sleep(Duration::from_secs(2)).await;
                seen = self.inner.observe(mark.target).await?;
            }
            (Wrong::ShrinksFirst | Wrong::SeesTooMuch, _) => {}
        }
        self.inner.apply(&step, &seen, mark).await
    }

    async fn fence(&self, mark: &Mark<'_>) -> Result<(), ClusterError> {
        self.inner.fence(mark).await
    }
}

#[test]
fn shrinking_before_convergence_is_caught() {
    let scenario = Scenario::new("broken", rolling).wrapped(Broken::wrap(Wrong::ShrinksFirst));
    let observed = scenario.reference();
    assert!(
        observed.violations.iter().any(|line| line.contains("I1")),
        "{:?}",
        observed.violations
    );
}

#[test]
fn believing_in_completion_too_early_is_caught() {
    let scenario =
        Scenario::new("broken", rolling).replicas(8).wrapped(Broken::wrap(Wrong::SeesTooMuch));
    let observed = scenario.reference();
    assert!(
        observed.violations.iter().any(|line| line.contains("I1")),
        "{:?}",
        observed.violations
    );
}

#[test]
fn writing_without_a_precondition_is_caught() {
    let trial = |millis: u64| {
        let mut trial = Trial::calm(3);
        trial.edit = Some((Duration::from_millis(millis), Edit::SetTemplate));
        trial
    };
    let broken = Scenario::new("broken", rolling).wrapped(Broken::wrap(Wrong::NoPrecondition));
    let (_, problems) = broken.try_one(&trial(1_000));
    assert!(problems.iter().any(|line| line.contains("overwrote")), "{problems:?}");
    let (_, problems) = Scenario::new("whole", rolling).try_one(&trial(1_000));
    assert_eq!(problems, [""; 0]);
}

/// A journal with one thing wrong.
struct BrokenJournal {
    inner: Arc<dyn Journal>,
    fault: Forgets,
}

#[derive(Clone, Copy, PartialEq)]
enum Forgets {
    /// Everything, when it is read.
    All,
    /// What was there before: the new template goes in its place.
    Baseline,
    /// Intents: they are written with what follows, after the fact.
    Intents,
}

impl BrokenJournal {
    fn wrap(fault: Forgets) -> impl Fn(Backend) -> Backend {
        move |mut backend| {
            backend.journal = Arc::new(Self { inner: backend.journal, fault });
            backend
        }
    }
}

#[async_trait]
impl Journal for BrokenJournal {
    async fn load(&self, target: &Target) -> Result<Log, JournalError> {
        let mut log = self.inner.load(target).await?;
        match self.fault {
            Forgets::All => log.entries.clear(),
            Forgets::Baseline => {
                if let Some(first) = log.entries.first_mut()
                    && let Event::Started(start) = &mut first.event
                {
                    start.baseline.template = start.template.clone();
                }
            }
            Forgets::Intents => {}
        }
        Ok(log)
    }

    async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError> {
        let late =
            matches!(log.entries.last(), Some(last) if matches!(last.event, Event::Intended(_)));
        match (&log.version, self.fault == Forgets::Intents && late) {
            (Some(version), true) => Ok(version.clone()),
            _ => self.inner.store(target, log).await,
        }
    }
}

#[test]
fn a_journal_written_after_the_fact_is_caught() {
    let scenario = Scenario::new("broken", rolling).wrapped(BrokenJournal::wrap(Forgets::Intents));
    caught(&scenario.every_fault(), "should be Promoted");
}

#[test]
fn a_driver_without_memory_is_caught() {
    let scenario = Scenario::new("broken", rolling).wrapped(BrokenJournal::wrap(Forgets::All));
    caught(&scenario.every_fault(), "I5");
}

#[test]
fn a_rollback_that_does_not_restore_what_was_stored_is_caught() {
    let scenario = Scenario::new("broken", rolling)
        .to_bad("web:crash")
        .wrapped(BrokenJournal::wrap(Forgets::Baseline));
    caught(&scenario.every_fault(), "RolledBack");
}

/// The pods serve for 5 s after they are told to end; who hears of it later sends into nothing.
#[test]
fn a_data_plane_that_stands_still_for_too_long_is_caught() {
    let trial: Trial = "seed=1 lull=100:data-plane=20000".parse().unwrap();
    let (_, problems) = Scenario::new("still", rolling).try_one(&trial);
    assert!(problems.iter().any(|problem| problem.starts_with("I1")), "{problems:?}");
}

#[test]
fn a_controller_that_stands_still_is_waited_for() {
    let trial: Trial = "seed=1 lull=100:replicaset-controller=8000".parse().unwrap();
    let (observed, problems) = Scenario::new("still", rolling).try_one(&trial);
    assert_eq!(problems, Vec::<String>::new());
    assert!(observed.took >= Duration::from_secs(8), "{:?}", observed.took);
}
