//! Waits, and takes in what the cluster shows meanwhile.

use std::sync::Arc;

use futures::stream::StreamExt;

use super::{Driver, Seen, Snapshots, VISIBLE_WITHIN};
use crate::clock::elapsed;
use crate::cluster::ClusterError;
use crate::error::RolloutError;
use crate::event::ProgressKind;
use crate::snapshot::Snapshot;
use crate::strategy::Wait;

impl Driver<'_> {
    /// The one place where a rollout waits: for the cluster, a gate, an operator, or a time.
    pub(super) async fn wait(
        &mut self,
        wait: Wait,
        snapshots: &mut Snapshots,
    ) -> Result<(), RolloutError> {
        self.restless = 0;
        let now = self.rollout.clock.now();
        let entered = self.course.phases.current() != wait.phase;
        if entered {
            self.course.phases.enter(&wait.phase, now);
        }
        if entered || self.what != wait.what {
            self.what.clone_from(&wait.what);
            self.tell(ProgressKind::Phase { name: wait.phase.into_owned(), what: wait.what });
        }
        self.seen = Seen::Earlier;
        self.gates.set(wait.gates, now);
        self.gates.start_due(&self.snapshot);
        let wake = wait.until.into_iter().chain(self.gates.wake_at()).min();
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep(elapsed(now, at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(command) = self.course.commands.recv() => self.obey(command).await?,
            (gate, verdict) = self.gates.next() => {
                self.tell(ProgressKind::Judged { gate, verdict });
            }
            snapshot = snapshots.next() => self.take(snapshot).await?,
            () = timer => {}
        }
        Ok(())
    }

    /// Takes what the watch gives.
    async fn take(
        &mut self,
        item: Option<Result<Snapshot, ClusterError>>,
    ) -> Result<(), RolloutError> {
        match item {
            Some(Ok(snapshot)) => {
                self.accept(snapshot);
                Ok(())
            }
            Some(Err(error)) if error.is_retryable() => {
                tracing::debug!(%error, target = %self.rollout.target, "the watch was interrupted");
                Ok(())
            }
            Some(Err(error)) => Err(self.rollout.cluster_error(error)),
            // A watch that ends is against its contract; looking once in a while beats hanging.
            None => {
                tokio::time::sleep(VISIBLE_WITHIN).await;
                self.look().await?;
                Ok(())
            }
        }
    }

    /// Reads what is there now.
    pub(super) async fn look(&mut self) -> Result<(), RolloutError> {
        let snapshot = self.rollout.observe().await?;
        self.accept(snapshot);
        self.seen = Seen::Now;
        Ok(())
    }

    /// Takes a snapshot in, unless it is older than what was seen already.
    fn accept(&mut self, snapshot: Snapshot) {
        let generation = |snapshot: &Snapshot| {
            let workload = snapshot.workload.as_ref()?;
            Some((workload.uid.clone(), workload.generation))
        };
        let older = match (generation(&self.snapshot), generation(&snapshot)) {
            (Some((uid, seen)), Some((other, next))) => uid == other && next < seen,
            _ => false,
        };
        if !older {
            self.snapshot = Arc::new(snapshot);
        }
    }
}
