//! What a rollout would do, worked out by running the strategy against an ideal cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::clock::{elapsed, later};
use crate::cluster::{ClusterError, Prepared};
use crate::error::RolloutError;
use crate::gate::{GateRecord, GateRecords, Verdict};
use crate::invariant;
use crate::journal::{Baseline, Entry, Event, Start};
use crate::lease::Epoch;
use crate::observation::Observation;
use crate::rollout::Rollout;
use crate::snapshot::{Completion, Counts, Pod, RevisionHash, Snapshot, Uid, Workload};
use crate::state::State;
use crate::step::{Inverse, Step};
use crate::strategy::{Decision, Gating, Wait};
use crate::target::Target;
use crate::tracker::Tracker;

/// More decisions than any sane strategy takes in an ideal cluster.
const LIMIT: usize = 10_000;

/// The steps and waits of a rollout in which nothing goes wrong.
///
/// Printing it gives one line each.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The workload.
    pub target: Target,
    /// The strategy.
    pub strategy: String,
    /// What was asked for, in words.
    pub change: String,
    /// What would be done, in order.
    pub items: Vec<PlanItem>,
    /// What a user should know although it stops nothing.
    pub warnings: Vec<String>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a rollout acts or waits")]
pub enum PlanItem {
    /// A change of the cluster, and what takes it back.
    Step {
        /// The change.
        step: Step,
        /// Its inverse.
        inverse: Inverse,
    },
    /// A time of waiting.
    Wait {
        /// The phase.
        phase: String,
        /// What for, in words.
        what: String,
        /// At least that long; `None` for as long as the cluster takes.
        least: Option<Duration>,
    },
}

impl PlanItem {
    /// Tells whether both are one wait for the cluster, with other words on the way.
    fn goes_on_as(&self, next: &Self) -> bool {
        match (self, next) {
            (
                Self::Wait { phase, least: None, .. },
                Self::Wait { phase: next, least: None, .. },
            ) => phase == next,
            _ => self == next,
        }
    }
}

impl Plan {
    pub(super) fn simulate(
        rollout: &Rollout,
        prepared: Prepared,
        inherited_pause: bool,
    ) -> Result<Self, RolloutError> {
        let workload = rollout.workload(&prepared)?;
        let start = Start {
            rollout: rollout.id.clone(),
            target: rollout.target.clone(),
            uid: workload.uid.clone(),
            strategy: rollout.strategy.name().to_owned(),
            change: rollout.change.clone(),
            template: prepared.template.clone(),
            baseline: Baseline::new(workload.template.clone(), workload.settings.clone()),
            found: None,
            inherited_pause,
            inherited_settings: None,
        };
        let mut model = Model::new(start, prepared.snapshot, rollout)?;
        let items = model.run(rollout)?;
        Ok(Self {
            target: rollout.target.clone(),
            strategy: rollout.strategy.name().to_owned(),
            change: rollout.change.to_string(),
            items,
            warnings: prepared.warnings,
        })
    }
}

/// An ideal cluster: every step works at once, every wait ends well.
struct Model {
    state: State,
    snapshot: Snapshot,
    tracker: Tracker,
    gates: GateRecords,
    now: jiff::Timestamp,
}

impl Model {
    fn new(start: Start, snapshot: Snapshot, rollout: &Rollout) -> Result<Self, RolloutError> {
        let now = rollout.clock.now();
        let entry = Entry::new(now, Epoch::default(), Event::Started(Box::new(start)));
        let state = State::begin(&entry).map_err(|error| broken(rollout, &error))?;
        let gates = rollout.gates.iter().map(|gate| {
            let mut record = GateRecord::new(gate.side(), gate.policy());
            record.note(now, Verdict::Pass(String::new()));
            (gate.name().to_owned(), record)
        });
        Ok(Self { state, snapshot, tracker: Tracker::new(now), gates: gates.collect(), now })
    }

    fn run(&mut self, rollout: &Rollout) -> Result<Vec<PlanItem>, RolloutError> {
        let mut items = Vec::new();
        for _ in 0..LIMIT {
            self.tracker.note(&self.snapshot, self.now);
            let seen =
                Observation::new(&self.state, &self.snapshot, &self.tracker, &self.gates, self.now);
            match rollout.strategy.next(&seen) {
                Decision::Apply(step) => {
                    invariant::check(&step, &seen).map_err(|source| RolloutError::Unsafe {
                        target: rollout.target.clone(),
                        source: Box::new(source),
                    })?;
                    let inverse = step.inverse(&self.snapshot);
                    self.record(rollout, Event::Intended(step.clone()))?;
                    self.effect(&step);
                    self.record(rollout, Event::Verified)?;
                    items.push(PlanItem::Step { step, inverse });
                }
                Decision::Reach(milestone) => self.record(rollout, Event::Reached(milestone))?,
                Decision::Wait(wait) => {
                    let item = self.wait(wait);
                    // An ideal cluster may need several turns for what is one wait to a reader.
                    if !items.last().is_some_and(|last| last.goes_on_as(&item)) {
                        items.push(item);
                    }
                }
                Decision::Finish => return Ok(items),
                Decision::RollBack(reason) => return Err(broken(rollout, &reason)),
            }
        }
        Err(broken(rollout, &"the strategy does not come to an end in an ideal cluster"))
    }

    fn record(&mut self, rollout: &Rollout, event: Event) -> Result<(), RolloutError> {
        let entry = Entry::new(self.now, Epoch::default(), event);
        self.state.apply(&entry).map_err(|error| broken(rollout, &error))
    }

    fn effect(&mut self, step: &Step) {
        let Some(workload) = &mut self.snapshot.workload else { return };
        match step {
            Step::DeletePod { uid, .. } => self.snapshot.pods.retain(|pod| pod.uid != *uid),
            Step::Pause => workload.paused = true,
            Step::Resume => {
                workload.paused = false;
                go_on(workload);
            }
            Step::SetPartition { partition } => {
                workload.settings.partition = Some(*partition);
                go_on(workload);
            }
            Step::RestoreSettings { settings } => {
                workload.settings = settings.or(&workload.settings)
            }
            Step::SetTemplate { template, settings } => {
                let changed = workload.template != *template;
                workload.template = template.clone();
                workload.settings = settings.or(&workload.settings);
                workload.generation += 1;
                if changed {
                    workload.revision = Some(RevisionHash::new("planned"));
                    workload.counts.updated = 0;
                    let what = "new pods to become available".to_owned();
                    workload.completion = Completion::Waiting { what };
                }
            }
        }
    }

    /// Lets the wait end well: time passes, or the pods converge as far as they may.
    fn wait(&mut self, wait: Wait) -> PlanItem {
        let least = wait.until.filter(|_| wait.gates == Gating::Open || self.converged());
        match least {
            Some(until) => {
                let time = elapsed(self.now, until);
                self.now = until;
                PlanItem::Wait {
                    phase: wait.phase.into_owned(),
                    what: wait.what,
                    least: Some(time),
                }
            }
            None => {
                self.now = later(self.now, Duration::from_secs(1));
                self.converge();
                PlanItem::Wait { phase: wait.phase.into_owned(), what: wait.what, least: None }
            }
        }
    }

    fn converged(&self) -> bool {
        let complete = |completion: &Completion| *completion == Completion::Complete;
        self.snapshot.workload.as_ref().is_some_and(|workload| complete(&workload.completion))
    }

    fn converge(&mut self) {
        let Some(workload) = &mut self.snapshot.workload else { return };
        let replicas = workload.replicas;
        let staged = workload.settings.max_surge.map_or(1, |surge| surge.round_up(replicas));
        let partition = workload.settings.partition.unwrap_or(0).min(replicas);
        // By as many pods at a time as the surge allows, so that a rollout can be stopped midway.
        let more = if workload.paused { 0 } else { staged.max(1) };
        let updated = workload.counts.updated.saturating_add(more).min(replicas - partition);
        workload.counts = Counts { total: replicas, updated, ready: replicas, available: replicas };
        if updated == replicas - partition && !workload.paused {
            workload.completion = Completion::Complete;
        }
        let revision = workload.revision.clone();
        let old = RevisionHash::new("present");
        self.snapshot.pods = (0..replicas)
            .map(|index| {
                let of = if index < updated { revision.clone() } else { Some(old.clone()) };
                let mut pod =
                    Pod::new(Uid::new(format!("pod-{index}")), format!("pod-{index}"), of);
                pod.ready = true;
                pod
            })
            .collect();
        let ready: BTreeSet<Uid> = self.snapshot.pods.iter().map(|pod| pod.uid.clone()).collect();
        for service in &mut self.snapshot.services {
            service.ready.clone_from(&ready);
        }
    }
}

/// The controller may replace the pods that it had to leave so far.
fn go_on(workload: &mut Workload) {
    if workload.counts.updated < workload.replicas {
        let what = "the other pods to become available".to_owned();
        workload.completion = Completion::Waiting { what };
    }
}

fn broken(rollout: &Rollout, problem: &dyn fmt::Display) -> RolloutError {
    let problem = format!("no plan leads to the new template: {problem}");
    rollout.cluster_error(ClusterError::refused(&rollout.target, problem))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {}: {}", self.strategy, self.target, self.change)?;
        for (number, item) in (1..).zip(&self.items) {
            writeln!(f, "{number:>3}. {item}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "     warning: {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PlanItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, inverse: Inverse::Step(inverse) } => {
                write!(f, "{step}  [taken back by: {}]", inverse.name())
            }
            Self::Step { step, inverse: Inverse::PointOfNoReturn } => {
                write!(f, "{step}  [point of no return]")
            }
            Self::Step { step, inverse: Inverse::Unneeded } => write!(f, "{step}"),
            Self::Wait { phase, what, least: Some(least) } => {
                write!(f, "{phase}: {what}, {} s", least.as_secs_f64())
            }
            Self::Wait { phase, what, least: None } => write!(f, "{phase}: {what}"),
        }
    }
}
