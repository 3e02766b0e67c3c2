//! The operator's side of a running rollout.

use std::fmt;
use std::sync::Arc;

use futures::Stream;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc};

use crate::event::Progress;

/// What an operator can ask of a running rollout.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Command {
    /// Go back to what was there before.
    Abort {
        /// Why, for the record.
        message: String,
    },
    /// Make no further progress until resumed.
    Pause,
    /// Skip what is left to wait for: pauses, bake and soak times. Never skips convergence.
    Promote,
    /// Go on after a pause.
    Resume,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abort { message } if message.is_empty() => f.write_str("abort"),
            Self::Abort { message } => write!(f, "abort: {message}"),
            Self::Pause => f.write_str("pause"),
            Self::Promote => f.write_str("promote"),
            Self::Resume => f.write_str("resume"),
        }
    }
}

/// The rollout does not run any more, or has too many commands waiting.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the rollout takes no commands: it has ended, or many are waiting already")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct NotRunning;

/// Commands a rollout and listens to its progress. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    // Weak, so that the streams end when the rollout is gone and only handles are left.
    progress: broadcast::WeakSender<Arc<Progress>>,
}

impl Handle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        progress: &broadcast::Sender<Arc<Progress>>,
    ) -> Self {
        Self { commands, progress: progress.downgrade() }
    }

    /// Asks the rollout to go back. Also works while it is paused.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn abort(&self, message: impl Into<String>) -> Result<(), NotRunning> {
        self.send(Command::Abort { message: message.into() })
    }

    /// Asks the rollout to make no further progress.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn pause(&self) -> Result<(), NotRunning> {
        self.send(Command::Pause)
    }

    /// Asks the rollout to skip pauses, bake and soak times.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn promote(&self) -> Result<(), NotRunning> {
        self.send(Command::Promote)
    }

    /// Asks the rollout to go on after a pause.
    ///
    /// # Errors
    /// [`NotRunning`].
    pub fn resume(&self) -> Result<(), NotRunning> {
        self.send(Command::Resume)
    }

    /// Streams progress from now on; ends with the rollout.
    ///
    /// A reader that falls more than 256 events behind misses the oldest ones.
    pub fn progress(&self) -> impl Stream<Item = Progress> + Send + Unpin + use<> {
        let receiver = self.progress.upgrade().map(|progress| progress.subscribe());
        Box::pin(futures::stream::unfold(receiver, |receiver| async move {
            let mut receiver = receiver?;
            loop {
                match receiver.recv().await {
                    Ok(progress) => return Some((Arc::unwrap_or_clone(progress), Some(receiver))),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        }))
    }

    fn send(&self, command: Command) -> Result<(), NotRunning> {
        self.commands.try_send(command).map_err(|_| NotRunning)
    }
}
