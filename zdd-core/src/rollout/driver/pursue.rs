//! Brings the step about that was written down: makes it, looks, and lets go of it when it cannot be.

use super::{Driver, Sent, VISIBLE_WITHIN};
use crate::clock::later;
use crate::cluster::{ClusterError, Mark};
use crate::error::{RolloutError, chain};
use crate::event::ProgressKind;
use crate::invariant::{self, Violation};
use crate::journal::Event;
use crate::outcome::Reason;
use crate::state::Phase;
use crate::step::Step;
use crate::strategy::Wait;

impl Driver<'_> {
    /// Brings the pending step about: looks whether it holds, and makes it when it does not.
    pub(super) async fn pursue(&mut self, step: Step) -> Result<Option<Wait>, RolloutError> {
        if step.holds(&self.snapshot) {
            self.record(Event::Verified).await?;
            self.tell(ProgressKind::StepVerified { step: step.name().to_owned() });
            return Ok(None);
        }
        let now = self.rollout.clock.now();
        if let Sent::Accepted { look_at } = self.sent {
            if now >= look_at {
                self.look().await?;
                self.sent = Sent::No;
                if !step.holds(&self.snapshot) {
                    return self.unseen(&step).await;
                }
                return Ok(None);
            }
            let mut wait = Wait::new("apply", format!("waiting to see it: {step}")).until(look_at);
            // What the gates have said so far still counts when the step is done.
            wait.gates = self.gates.gating();
            return Ok(Some(wait));
        }
        if let Err(violation) = invariant::check(&step, &self.observation(now)) {
            return self.withdraw(&step, &violation).await;
        }
        let state = self.ledger.state();
        let mark = Mark::new(&self.rollout.target, &state.start.rollout, self.epoch);
        match self.rollout.backend.cluster.apply(&step, &self.snapshot, &mark).await {
            Ok(()) => self.sent = Sent::Accepted { look_at: later(now, VISIBLE_WITHIN) },
            Err(error) if error.is_retryable() => {
                let Some(pause) = self.rollout.retry.pause(self.tries) else {
                    return Err(self.rollout.cluster_error(error));
                };
                self.tries += 1;
                tokio::time::sleep(pause).await;
                // What happened is looked up, never assumed.
                self.look().await?;
            }
            Err(ClusterError::Fenced { .. }) => {
                return Err(RolloutError::Lost { target: self.rollout.target.clone() });
            }
            Err(error) => self.refused(&step, &error).await?,
        }
        Ok(None)
    }

    /// Gives up a step that was safe when it was decided and is not any more: someone scaled the
    /// target, say. Whether an attempt was made does not matter: each has the condition that the
    /// target is as it was seen then.
    async fn withdraw(
        &mut self,
        step: &Step,
        violation: &Violation,
    ) -> Result<Option<Wait>, RolloutError> {
        self.tell(ProgressKind::StepWithdrawn {
            step: step.name().to_owned(),
            why: violation.to_string(),
        });
        self.record(Event::Withdrawn).await?;
        Ok(None)
    }

    /// A step was accepted and is not there: it is made again, but not for ever.
    async fn unseen(&mut self, step: &Step) -> Result<Option<Wait>, RolloutError> {
        if self.rollout.retry.pause(self.tries).is_some() {
            self.tries += 1;
            return Ok(None);
        }
        let problem = "it was accepted again and again and is not there: something else takes it \
                       back, a policy or a tool that keeps the object as it wants it";
        let error = ClusterError::refused(&self.rollout.target, problem);
        self.refused(step, &error).await?;
        Ok(None)
    }

    /// The cluster will not have a step: turn back, or say what is left to do.
    async fn refused(&mut self, step: &Step, error: &ClusterError) -> Result<(), RolloutError> {
        let reason = Reason::StepRefused { step: step.to_string(), message: chain(error) };
        match self.ledger.state().phase.clone() {
            Phase::RollingBack(why) => {
                let remaining = format!("{step} on {} ({reason})", self.rollout.target);
                self.stuck(why, remaining).await
            }
            Phase::Finished(_) | Phase::Progressing => self.turn_back(reason).await,
        }
    }
}
