//! The journal: what a rollout meant to do and what it saw done.
//!
//! Intent is written before a step, fact after it was seen to hold. A new
//! process reads the journal and goes on through the same transition function.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::ClusterError;
use crate::handle::Command;
use crate::lease::Epoch;
use crate::outcome::{Outcome, Reason};
use crate::rollout::RolloutId;
use crate::snapshot::{Settings, Uid, Version};
use crate::step::Step;
use crate::strategy::Milestone;
use crate::target::Target;
use crate::template::{Change, Template};

/// One line of the journal.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The driver that wrote it.
    pub epoch: Epoch,
    /// What it says.
    pub event: Event,
}

impl Entry {
    /// Makes an entry.
    #[must_use]
    pub fn new(at: Timestamp, epoch: Epoch, event: Event) -> Self {
        Self { at, epoch, event }
    }
}

/// What a journal entry says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "the transition function must decide for each")]
pub enum Event {
    /// Another driver took over.
    Adopted,
    /// An operator gave a command.
    Commanded(Command),
    /// The rollout ended.
    Finished(Outcome),
    /// A step is about to be made.
    Intended(Step),
    /// The strategy reached a milestone.
    Reached(Milestone),
    /// The way back began.
    RollbackStarted(Reason),
    /// The rollout began. Everything that the way back needs is here.
    Started(Box<Start>),
    /// The last step that was intended has been seen to hold.
    Verified,
    /// The last step that was intended will not be made: what it relied on has changed.
    Withdrawn,
}

/// Everything that must be known after a crash.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Start {
    /// The rollout.
    pub rollout: RolloutId,
    /// The workload.
    pub target: Target,
    /// The workload's identity.
    pub uid: Uid,
    /// The name of the strategy.
    pub strategy: String,
    /// What was asked for.
    pub change: Change,
    /// The new template.
    pub template: Template,
    /// What was there before.
    pub baseline: Baseline,
    /// The template that was found, where it is not the baseline's: that of an unfinished rollout
    /// which this one supersedes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Template>,
    /// Whether an unfinished rollout that this one supersedes left the workload paused.
    #[serde(default)]
    pub inherited_pause: bool,
    /// The knobs that such a rollout had set and not given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited_settings: Option<Settings>,
}

/// What rollback restores.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Baseline {
    /// The template.
    pub template: Template,
    /// The knobs.
    pub settings: Settings,
}

impl Baseline {
    /// Makes a baseline.
    #[must_use]
    pub fn new(template: Template, settings: Settings) -> Self {
        Self { template, settings }
    }
}

/// A journal as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// The version that was read; `None` when there is no journal yet.
    pub version: Option<Version>,
}

impl Log {
    /// Makes a log.
    #[must_use]
    pub fn new(entries: Vec<Entry>, version: Option<Version>) -> Self {
        Self { entries, version }
    }
}

/// Keeps the journal of the newest rollout of each target.
///
/// A journal is replaced as a whole under compare-and-set: that is what makes
/// a driver that lost its lease stop before it does harm.
///
/// The trait is async and object-safe because a rollout is given a journal at
/// run time.
///
/// # Examples
/// A journal in a file, for a tool that runs on one machine at a time:
/// ```
/// use std::path::PathBuf;
/// use std::sync::Arc;
/// use zdd_core::{ClusterError, Journal, JournalError, Log, Target, Version};
///
/// struct FileJournal(PathBuf);
///
/// fn unavailable(target: &Target, error: std::io::Error) -> JournalError {
///     let (action, object) = ("use".to_owned(), "the journal file".to_owned());
///     let source = ClusterError::Unavailable { action, object, source: Arc::new(error) };
///     JournalError::Cluster { target: target.clone(), source }
/// }
///
/// #[async_trait::async_trait]
/// impl Journal for FileJournal {
///     async fn load(&self, target: &Target) -> Result<Log, JournalError> {
///         let text = match std::fs::read_to_string(&self.0) {
///             Ok(text) => text,
///             Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Log::default()),
///             Err(error) => return Err(unavailable(target, error)),
///         };
///         let corrupt = |error: serde_json::Error| JournalError::Corrupt {
///             target: target.clone(),
///             problem: error.to_string(),
///         };
///         let entries: Vec<_> = serde_json::from_str(&text).map_err(corrupt)?;
///         // The content is its own version.
///         Ok(Log::new(entries, Some(Version::new(text))))
///     }
///
///     async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError> {
///         if self.load(target).await?.version != log.version {
///             return Err(JournalError::Conflict { target: target.clone() });
///         }
///         let text = serde_json::to_string(&log.entries).expect("entries have text keys");
///         // Written beside it and renamed, so that a crash leaves the old journal whole.
///         let next = self.0.with_extension("next");
///         let written = std::fs::write(&next, &text).and_then(|()| std::fs::rename(&next, &self.0));
///         written.map_err(|error| unavailable(target, error))?;
///         Ok(Version::new(text))
///     }
/// }
/// ```
#[async_trait]
pub trait Journal: Send + Sync {
    /// Reads the journal of a target, with full consistency.
    ///
    /// # Errors
    /// [`JournalError::Cluster`], and [`JournalError::Corrupt`] when it cannot be understood.
    async fn load(&self, target: &Target) -> Result<Log, JournalError>;

    /// Replaces the journal, on condition that it still has the version of `log`.
    ///
    /// # Cancel safety
    /// After a drop the journal may or may not have been replaced.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] when it has another version: another driver is at work.
    async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError>;
}

/// Why a journal could not be read or written.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The place where it is kept did not answer as it should.
    #[error("failed to reach the journal of {target}")]
    Cluster {
        /// The workload.
        target: Target,
        /// What happened.
        source: ClusterError,
    },
    /// Another driver has written to it.
    #[error("another driver has written to the journal of {target}")]
    Conflict {
        /// The workload.
        target: Target,
    },
    /// It cannot be understood.
    #[error("the journal of {target} cannot be understood: {problem}; look at it, then delete it")]
    Corrupt {
        /// The workload.
        target: Target,
        /// What is wrong.
        problem: String,
    },
}

impl JournalError {
    /// Tells whether another try may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Cluster { source, .. } if source.is_retryable())
    }
}

/// A journal in memory, for tests. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct InMemoryJournal {
    logs: Arc<Mutex<Logs>>,
}

/// Per target: how often it was replaced, and its entries.
type Logs = BTreeMap<Target, (u64, Vec<Entry>)>;

#[async_trait]
impl Journal for InMemoryJournal {
    async fn load(&self, target: &Target) -> Result<Log, JournalError> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(logs.get(target).map_or_else(Log::default, |(version, entries)| {
            Log::new(entries.clone(), Some(Version::new(version.to_string())))
        }))
    }

    async fn store(&self, target: &Target, log: &Log) -> Result<Version, JournalError> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let have = logs.get(target).map(|(version, _)| Version::new(version.to_string()));
        if have != log.version {
            return Err(JournalError::Conflict { target: target.clone() });
        }
        let (version, entries) = logs.entry(target.clone()).or_default();
        *version += 1;
        entries.clone_from(&log.entries);
        Ok(Version::new(version.to_string()))
    }
}
