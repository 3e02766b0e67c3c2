//! The loop: observe, decide, check, write down, act, look, write down.

mod hand_over;
mod pursue;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::cluster::{ClusterError, Mark};
use crate::error::RolloutError;
use crate::event::{Progress, ProgressKind};
use crate::handle::Command;
use crate::invariant;
use crate::journal::Event;
use crate::lease::Epoch;
use crate::observation::Observation;
use crate::outcome::{Outcome, Reason, Report};
use crate::rollout::Rollout;
use crate::rollout::begin::{Beginning, Begun};
use crate::rollout::gating::Gates;
use crate::rollout::ledger::Ledger;
use crate::rollout::phases::PhaseClock;
use crate::rollout::takeover::superseder;
use crate::snapshot::{Counts, Snapshot};
use crate::state::{Phase, State};
use crate::step::Step;
use crate::strategy::{Decision, Gating, Wait};
use crate::tracker::Tracker;

/// How long a step that was made may stay invisible in the watch before the cluster is asked.
const VISIBLE_WITHIN: Duration = Duration::from_secs(15);

/// More decisions in a row, without a wait, than any sane strategy takes.
const RESTLESS: usize = 100;

type Snapshots = BoxStream<'static, Result<Snapshot, ClusterError>>;

/// Whether the pending step was sent since it was last seen not to hold.
enum Sent {
    /// It was; the watch has to show it by then.
    Accepted { look_at: Timestamp },
    /// It was not, or its outcome was unknown and it has been seen not to hold.
    No,
}

/// How old the snapshot is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    /// It was read just now, consistently.
    Now,
    /// The rollout has waited since, or it comes from the watch, which may lag by any time.
    Earlier,
}

/// What a run keeps when it loses the lease and takes it again.
pub(super) struct Course {
    commands: mpsc::Receiver<Command>,
    phases: PhaseClock,
    warnings: Vec<String>,
}

impl Course {
    pub(super) fn new(commands: mpsc::Receiver<Command>, now: Timestamp) -> Self {
        Self { commands, phases: PhaseClock::new("prepare", now), warnings: Vec::new() }
    }
}

struct Driver<'r> {
    rollout: &'r Rollout,
    course: &'r mut Course,
    epoch: Epoch,
    ledger: Ledger,
    snapshot: Arc<Snapshot>,
    seen: Seen,
    tracker: Tracker,
    gates: Gates,
    /// What the rollout said last that it waits for.
    what: String,
    sent: Sent,
    tries: usize,
    /// How much the strategy has done since it waited last.
    restless: usize,
    pods: Option<(u32, Counts)>,
    /// What was said last of knobs that someone else has turned.
    loosened: Option<String>,
}

impl Rollout {
    /// Drives the rollout to its end. `before` is the driver that this run was until it lost the
    /// lease.
    pub(super) async fn drive(
        &mut self,
        epoch: Epoch,
        before: Option<Epoch>,
        course: &mut Course,
    ) -> Result<Report, RolloutError> {
        let Begun { ledger, snapshot, warnings, news } = match self.begin(epoch, before).await? {
            Beginning::Begun(begun) => *begun,
            Beginning::Ended(state, outcome) => return Ok(self.told(&state, outcome, course)),
        };
        let now = self.clock.now();
        let gates = Gates::new(self.gates.clone(), self.target.clone(), self.clock);
        let mut driver = Driver {
            rollout: &*self,
            course,
            epoch,
            ledger,
            snapshot: Arc::new(snapshot),
            seen: Seen::Now,
            tracker: Tracker::new(now),
            gates,
            what: String::new(),
            sent: Sent::No,
            tries: 0,
            restless: 0,
            pods: None,
            loosened: None,
        };
        driver.announce(news).await;
        for message in &warnings {
            driver.tell(ProgressKind::Warning { message: message.clone() });
        }
        driver.course.warnings.extend(warnings);
        let mut snapshots = self.backend.cluster.watch(&self.target);
        let outcome = driver.run(&mut snapshots).await?;
        let Driver { ledger, course, .. } = driver;
        Ok(self.told(ledger.state(), outcome, course))
    }
}

impl Rollout {
    fn told(&self, state: &State, outcome: Outcome, course: &mut Course) -> Report {
        Report {
            rollout: state.start.rollout.clone(),
            target: self.target.clone(),
            strategy: state.start.strategy.clone(),
            outcome,
            phases: course.phases.finish(self.clock.now()),
            warnings: std::mem::take(&mut course.warnings),
        }
    }
}

impl Driver<'_> {
    async fn run(&mut self, snapshots: &mut Snapshots) -> Result<Outcome, RolloutError> {
        loop {
            if let Phase::Finished(outcome) = &self.ledger.state().phase {
                return Ok(outcome.clone());
            }
            let now = self.rollout.clock.now();
            self.tracker.note(&self.snapshot, now);
            self.tell_pods();
            if let Some(by) = superseder(self.ledger.state(), &self.snapshot) {
                self.hand_over(by).await?;
                continue;
            }
            self.tell_loosened(now);
            let wait = match self.ledger.state().pending.clone() {
                // A step that may be on its way is seen through first.
                Some(step) => self.pursue(step).await?,
                None => match self.course.commands.try_recv() {
                    Ok(command) => {
                        self.obey(command).await?;
                        None
                    }
                    Err(_) => self.decide(now).await?,
                },
            };
            if let Some(wait) = wait {
                self.wait(wait, snapshots).await?;
            }
        }
    }

    /// Asks the strategy and acts on its decision; returns what to wait for, if anything.
    async fn decide(&mut self, now: Timestamp) -> Result<Option<Wait>, RolloutError> {
        let strategy = &self.rollout.strategy;
        let phase = self.ledger.state().phase.clone();
        let seen = self.observation(now);
        let decision = match phase {
            Phase::RollingBack(_) => strategy.unwind(&seen),
            Phase::Finished(_) | Phase::Progressing => strategy.next(&seen),
        };
        if matches!(decision, Decision::Apply(_) | Decision::Reach(_)) {
            self.restless += 1;
            if self.restless > RESTLESS {
                return Err(RolloutError::Endless {
                    target: self.rollout.target.clone(),
                    strategy: strategy.name().to_owned(),
                });
            }
        }
        match (decision, phase) {
            (Decision::Wait(wait), _) => return Ok(Some(wait)),
            (Decision::Apply(step), _) => {
                self.check(&step, now)?;
                self.tell(ProgressKind::StepIntended {
                    step: step.name().to_owned(),
                    what: step.to_string(),
                });
                self.record(Event::Intended(step)).await?;
                (self.sent, self.tries) = (Sent::No, 0);
            }
            (Decision::Reach(milestone), _) => {
                self.tell(ProgressKind::Reached { milestone: milestone.clone() });
                self.record(Event::Reached(milestone)).await?;
            }
            (Decision::Finish, Phase::RollingBack(reason)) => {
                self.finish(Outcome::RolledBack { reason }).await?;
            }
            (Decision::Finish, _) => match self.last_word() {
                Some(abort) => self.obey(abort).await?,
                None => self.finish(Outcome::Promoted).await?,
            },
            // A watch that lags shows neither progress nor recovery: only what was read just now
            // is enough to turn back on, or to give up on.
            (Decision::RollBack(_), _) if self.seen == Seen::Earlier => self.look().await?,
            (Decision::RollBack(last), Phase::RollingBack(reason)) => {
                let remaining = format!(
                    "the way back made no progress ({last}): bring {} to a healthy state",
                    self.rollout.target
                );
                self.stuck(reason, remaining).await?;
            }
            (Decision::RollBack(reason), _) => self.turn_back(reason).await?,
        }
        Ok(None)
    }

    async fn turn_back(&mut self, reason: Reason) -> Result<(), RolloutError> {
        let start = &self.ledger.state().start;
        if start.template == start.baseline.template && !matches!(reason, Reason::Aborted { .. }) {
            let remaining = format!(
                "{} already had this template before the rollout, so there is nothing to go back to: \
                 bring it to a healthy state",
                self.rollout.target
            );
            return self.stuck(reason, remaining).await;
        }
        self.record(Event::RollbackStarted(reason.clone())).await?;
        self.tracker.restart(self.rollout.clock.now());
        self.gates.set(Gating::Closed, self.rollout.clock.now());
        self.announce(ProgressKind::RollbackStarted { reason }).await;
        Ok(())
    }

    /// Ends where the rollout can neither go on nor back, with all that is left to do.
    async fn stuck(&mut self, reason: Reason, first: String) -> Result<(), RolloutError> {
        let target = &self.rollout.target;
        let ours = self.left_overs().map(|step| format!("{step} on {target}"));
        let remaining = std::iter::once(first).chain(ours).collect();
        self.finish(Outcome::Stuck { reason, remaining }).await
    }

    async fn finish(&mut self, outcome: Outcome) -> Result<(), RolloutError> {
        self.course.commands.close();
        self.record(Event::Finished(outcome.clone())).await?;
        self.announce(ProgressKind::Finished { outcome }).await;
        Ok(())
    }

    /// Takes no more commands; returns an abort that was taken in the last moment.
    fn last_word(&mut self) -> Option<Command> {
        self.course.commands.close();
        std::iter::from_fn(|| self.course.commands.try_recv().ok())
            .find(|command| matches!(command, Command::Abort { .. }))
    }

    async fn obey(&mut self, command: Command) -> Result<(), RolloutError> {
        self.tell(ProgressKind::Commanded { command: command.clone() });
        self.record(Event::Commanded(command.clone())).await?;
        match (command, &self.ledger.state().phase) {
            (Command::Abort { message }, Phase::Progressing) => {
                self.turn_back(Reason::Aborted { message }).await
            }
            _ => Ok(()),
        }
    }

    fn check(&self, step: &Step, now: Timestamp) -> Result<(), RolloutError> {
        invariant::check(step, &self.observation(now)).map_err(|source| RolloutError::Unsafe {
            target: self.rollout.target.clone(),
            source: Box::new(source),
        })
    }

    fn observation(&self, now: Timestamp) -> Observation<'_> {
        let state = self.ledger.state();
        Observation::new(state, &self.snapshot, &self.tracker, self.gates.records(), now)
    }

    async fn record(&mut self, event: Event) -> Result<(), RolloutError> {
        self.ledger.record(event).await
    }

    fn tell_pods(&mut self) {
        let numbers = self.snapshot.workload.as_ref().map(|w| (w.replicas, w.counts));
        if numbers != self.pods {
            self.pods = numbers;
            if let Some((desired, counts)) = numbers {
                self.tell(ProgressKind::Pods { desired, counts });
            }
        }
    }

    fn tell_loosened(&mut self, now: Timestamp) {
        let loosened = invariant::loosened(&self.observation(now));
        if loosened == self.loosened {
            return;
        }
        if let Some(message) = &loosened {
            self.tell(ProgressKind::Warning { message: message.clone() });
            if !self.course.warnings.contains(message) {
                self.course.warnings.push(message.clone());
            }
        }
        self.loosened = loosened;
    }

    fn tell(&self, kind: ProgressKind) -> Progress {
        let rollout = self.ledger.state().start.rollout.clone();
        let progress = Progress::new(self.rollout.clock.now(), rollout, kind);
        tracing::debug!(target: "zdd", rollout = %progress.rollout, "{}", progress.kind);
        // Nobody may be listening.
        let _ = self.rollout.progress.send(Arc::new(progress.clone()));
        progress
    }

    /// Tells the listeners, and the cluster's users.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "a shared borrow across the await would need the running gates to be Sync"
    )]
    async fn announce(&mut self, kind: ProgressKind) {
        let progress = self.tell(kind);
        let state = self.ledger.state();
        let mark = Mark::new(&self.rollout.target, &state.start.rollout, self.epoch);
        self.rollout.backend.cluster.announce(&mark, &progress).await;
    }
}
