//! Background tasks, known by name.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::{handle::ShutdownHandle, reason::Reason};

/// What a task ended with, in words.
pub(crate) type Ended = Result<(), String>;

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    set: JoinSet<(String, Ended)>,
    running: Vec<(String, AbortHandle)>,
    /// Failures of tasks that have ended.
    failed: Vec<(String, String)>,
}

/// Most failures that a report lists.
const MAX_FAILED: usize = 32;

impl Tasks {
    pub(crate) fn spawn(
        &mut self,
        name: String,
        task: impl Future<Output = Ended> + Send + 'static,
    ) {
        // A service that spawns a task now and then must not keep them all.
        while let Some(joined) = self.set.try_join_next() {
            self.note(joined);
        }
        self.running.retain(|(_, task)| !task.is_finished());
        let label = name.clone();
        let handle = self.set.spawn(async move {
            let ended =
                caught(task).await.unwrap_or_else(|panic| Err(format!("panicked: {panic}")));
            (label, ended)
        });
        self.running.push((name, handle));
    }

    /// Waits for all tasks.
    pub(crate) async fn join_all(&mut self) {
        while let Some(joined) = self.set.join_next().await {
            self.note(joined);
        }
    }

    /// Keeps what a task failed with; one that was aborted has not failed.
    fn note(&mut self, joined: Result<(String, Ended), JoinError>) {
        match joined {
            Ok((name, Err(error))) if self.failed.len() < MAX_FAILED => {
                self.failed.push((name, error));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Returns the failures that were noted, by name.
    pub(crate) fn failures(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.failed)
    }

    /// Aborts what still runs and returns the names.
    pub(crate) fn abort_all(&mut self) -> Vec<String> {
        // Asked first: on another thread, a task that is aborted has ended at once.
        self.running.retain(|(_, task)| !task.is_finished());
        self.set.abort_all();
        std::mem::take(&mut self.running).into_iter().map(|(name, _)| name).collect()
    }
}

/// Watches a critical task: any end of it before the shutdown begins one.
pub(crate) async fn critical<F, E>(handle: ShutdownHandle, name: String, task: F) -> Ended
where
    F: Future<Output = Result<(), E>> + Send,
    E: fmt::Display,
{
    let error = match caught(task).await {
        Ok(Ok(())) if handle.shared.started().is_some() => return Ok(()),
        Ok(Ok(())) => "ended although nothing asked it to".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("panicked: {panic}"),
    };
    handle.trigger(Reason::CriticalTask { name, error: error.clone() });
    Err(error)
}

/// Runs a future and turns its panic into a value, that of its destructor too.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(Some(future));
    std::future::poll_fn(|cx| {
        let poll = || future.as_mut().as_pin_mut().map_or(Poll::Pending, |future| future.poll(cx));
        let ended = match unwound(poll) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        // Here, and not at the end, where a panic would go on.
        let dropped = unwound(|| future.set(None));
        Poll::Ready(ended.and_then(|output| dropped.map(|()| output)))
    })
    .await
}

/// Calls and turns a panic into its message.
pub(crate) fn unwound<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message(&*panic))
}

/// Reads the message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned())
}
