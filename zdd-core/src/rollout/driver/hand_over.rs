//! Leaves the target to whoever took it over, with nothing of ours left on it.

use super::{Driver, superseder};
use crate::cluster::Mark;
use crate::error::RolloutError;
use crate::event::ProgressKind;
use crate::outcome::{Outcome, Superseder};
use crate::step::Step;

impl Driver<'_> {
    /// Ends the rollout as superseded, unless a second look shows that it is not.
    pub(super) async fn hand_over(&mut self, by: Superseder) -> Result<(), RolloutError> {
        if by == Superseder::Edit {
            if self.clean_up().await? {
                return Ok(());
            }
        } else {
            // An older version of an object is told by its number; an absent object has none. What
            // a watch does not show may be what a server that lags has not heard of, so only a
            // consistent read can say that the target is gone.
            self.look().await?;
            if superseder(self.ledger.state(), &self.snapshot).as_ref() != Some(&by) {
                return Ok(());
            }
        }
        self.finish(Outcome::Superseded { by }).await
    }

    /// Takes back what we set beside the template; returns whether to look again.
    async fn clean_up(&mut self) -> Result<bool, RolloutError> {
        let Some(step) = self.left_over() else { return Ok(false) };
        let rollout = &self.ledger.state().start.rollout;
        let mark = Mark::new(&self.rollout.target, rollout, self.epoch);
        let applied = self.rollout.backend.cluster.apply(&step, &self.snapshot, &mark).await;
        if applied.is_err_and(|error| !error.is_retryable()) {
            return Ok(false);
        }
        let Some(pause) = self.rollout.retry.pause(self.tries) else {
            self.tell(ProgressKind::Warning { message: format!("left undone: {step}") });
            return Ok(false);
        };
        self.tries += 1;
        tokio::time::sleep(pause).await;
        self.look().await?;
        Ok(true)
    }

    /// What of ours is still on the target: a pause, or settings.
    fn left_over(&self) -> Option<Step> {
        self.left_overs().next()
    }

    /// All of it.
    pub(super) fn left_overs(&self) -> impl Iterator<Item = Step> + use<> {
        let state = self.ledger.state();
        let ours = state.paused || state.pending == Some(Step::Pause);
        let workload = self.snapshot.workload.as_ref();
        let resume = workload.filter(|workload| workload.paused && ours).map(|_| Step::Resume);
        let restore = workload.map(|workload| Step::RestoreSettings {
            settings: state.settings_to_restore(&workload.settings),
        });
        resume.into_iter().chain(restore.filter(|restore| !restore.holds(&self.snapshot)))
    }
}
