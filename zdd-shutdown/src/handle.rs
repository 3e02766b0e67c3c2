//! The handle that every part of a program holds.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    guard::Guard,
    hooks::{Hook, HookError, HookOutcome, Stage},
    phase::Phase,
    readiness::Readiness,
    reason::Reason,
    shared::{Command, Shared, lock},
    tasks,
};

/// Observes the shutdown, asks for it, and holds it up.
///
/// Clones are cheap and equal. A handle does not keep the process alive.
#[derive(Clone)]
pub struct ShutdownHandle {
    pub(crate) shared: Arc<Shared>,
}

impl ShutdownHandle {
    /// Begins the shutdown; returns whether this call was the first to do so.
    ///
    /// # Guarantees
    ///
    /// The deadline counts from the first call. Later calls change nothing.
    pub fn trigger(&self, reason: impl Into<Reason>) -> bool {
        self.shared.trigger(reason.into())
    }

    /// Gives up: what is in flight is cut, hooks that run are dropped, and
    /// [`finish`](crate::Shutdown::finish) returns a report of a forced end.
    pub fn force(&self, reason: impl Into<Reason>) {
        self.trigger(reason);
        self.shared.send(Command::Force);
    }

    /// Returns the phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.shared.phase()
    }

    /// Returns a receiver that sees each phase change; phases that follow each
    /// other quickly can be seen as one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.shared.subscribe()
    }

    /// Returns whether the shutdown has begun.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.phase().is_shutting_down()
    }

    /// Returns whether long-lived responses should end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Waits until the shutdown begins: the moment to stop taking messages
    /// from queues, to give up leases and to leave service registries.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, like all waiting methods of the handle.
    pub async fn lame_duck(&self) {
        self.shared.reached(Phase::LameDuck).await;
    }

    /// Runs `work` until it is done, or until the shutdown begins and drops it:
    /// then there is no value.
    ///
    /// For what must not hold up the end: connecting to a database during the
    /// start, or taking the next message from a queue. Once the shutdown has
    /// begun, `work` is not polled any more, so that a loop around this ends.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `work`, which should be, since it can be dropped.
    pub async fn until_shutdown<F: Future>(&self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.lame_duck() => None,
            done = work => Some(done),
        }
    }

    /// Waits until Draining: the moment for event streams and WebSockets to
    /// say goodbye and end.
    pub async fn draining(&self) {
        self.shared.reached(Phase::Draining).await;
    }

    /// Waits until Closing: the moment at which a foreign server has to stop
    /// to accept connections.
    pub async fn stop_accepting(&self) {
        self.shared.reached(Phase::Closing).await;
    }

    /// Waits until the time of requests is over: what still runs now is cut.
    pub async fn aborting(&self) {
        self.shared.reached(Phase::Hooks).await;
    }

    /// Decides whether a response asks its HTTP/1 client to move, with
    /// `Connection: close`: none while the process serves, a growing share
    /// during the lame duck, all of them afterwards.
    ///
    /// For servers that know neither the layer nor the serve loop of this
    /// crate. Call it once per response.
    #[must_use]
    pub fn wants_close(&self) -> bool {
        self.shared.wants_close()
    }

    /// Counts a new connection as traffic that has not moved away yet.
    ///
    /// For servers that are not of this crate; probes should not be counted.
    pub fn note_arrival(&self) {
        self.shared.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many requests are in flight, each counted to the end of its response body.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.requests.sum()
    }

    /// Returns how many tracked connections are open, upgraded ones included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.alive().open()
    }

    /// Returns the time left until the process is ended by force; before the
    /// shutdown begins, the whole deadline.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.shared.remaining()
    }

    /// Holds up the end of Closing until the guard is dropped or the time is over.
    ///
    /// For work that no request and no connection stands for, such as a job
    /// taken from a queue. A guard that is taken while another one is held up
    /// the end continues that: there is no moment between the two.
    pub fn guard(&self) -> Guard {
        Guard::new(self.shared.guards.enter())
    }

    /// Returns the switch behind the readiness and liveness probes.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness::new(Arc::clone(&self.shared))
    }

    /// Registers a clean-up hook.
    ///
    /// The future is first polled when its stage begins. Hooks of one stage
    /// run concurrently; a stage begins when every hook of the one before has
    /// returned, failed, panicked or timed out. See [`Stage`].
    ///
    /// # Errors
    ///
    /// [`HookError::StageOver`] when the stage has begun already: the hook
    /// will not run.
    pub fn on_shutdown<F>(
        &self,
        stage: Stage,
        name: impl Into<String>,
        hook: F,
    ) -> Result<Hook<'_>, HookError>
    where
        F: Future<Output: HookOutcome> + Send + 'static,
    {
        Hook::register(
            &self.shared.hooks,
            stage,
            name.into(),
            Box::pin(async move { hook.await.into_outcome() }),
        )
    }

    /// Registers a clean-up hook that blocks; it runs on a thread of its own.
    ///
    /// A hook that times out is left behind: nothing can end its thread, but
    /// the next stage does not wait for it.
    ///
    /// # Errors
    ///
    /// As [`on_shutdown`](Self::on_shutdown).
    pub fn on_shutdown_blocking<F, T>(
        &self,
        stage: Stage,
        name: impl Into<String>,
        hook: F,
    ) -> Result<Hook<'_>, HookError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: HookOutcome,
    {
        let hook = move || hook().into_outcome();
        Hook::register(
            &self.shared.hooks,
            stage,
            name.into(),
            Box::pin(crate::hooks::on_thread(hook)),
        )
    }

    /// Spawns a background task that ends by itself when the shutdown begins.
    ///
    /// At [`Stage::Consumers`] it is waited for, for up to 5 s, then aborted and
    /// named in the report, which is not clean then. Its own end does not end
    /// the process, nor does its panic, which the report names.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        lock(&self.shared.tasks).spawn(name.into(), async move {
            task.await;
            Ok(())
        });
    }

    /// Spawns a background task without which the process is of no use.
    ///
    /// When it fails, panics, or returns before the shutdown began, the
    /// shutdown begins with [`Reason::CriticalTask`] and the exit code is 1.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn_critical<F, E>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + 'static,
    {
        let name = name.into();
        let watched = tasks::critical(self.clone(), name.clone(), task);
        lock(&self.shared.tasks).spawn(name, watched);
    }
}

impl fmt::Debug for ShutdownHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShutdownHandle").field(&self.shared).finish()
    }
}
