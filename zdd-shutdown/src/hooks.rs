//! Clean-up in stages, once the requests are done.

use std::{cmp::Ordering, fmt, mem, pin::Pin, sync::Mutex, thread, time::Duration};

use tokio::sync::oneshot;

use crate::{shared::lock, tasks::unwound};

/// How long a hook may take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Orders the hooks: what feeds comes down before what it feeds.
///
/// The named stages have ranks 100, 200, … 600 in the order in which they are
/// listed; [`Custom`](Self::Custom) fits a stage between them.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Stage {
    /// What belongs to the HTTP side: close accept-side helpers (100).
    Http,
    /// Queue consumers and other background tasks (200).
    Consumers,
    /// Flush what was written for others to read (300).
    Outbox,
    /// Close the database pool (400).
    Database,
    /// Close caches (500).
    Cache,
    /// Flush traces, metrics and logs, which all stages before may write (600).
    Telemetry,
    /// A stage of your own, by rank.
    Custom(u16),
}

impl Stage {
    /// Returns the number by which stages are ordered.
    #[must_use]
    pub fn rank(self) -> u16 {
        match self {
            Self::Http => 100,
            Self::Consumers => 200,
            Self::Outbox => 300,
            Self::Database => 400,
            Self::Cache => 500,
            Self::Telemetry => 600,
            Self::Custom(rank) => rank,
        }
    }
}

// Equality by rank: `Custom(400)` and `Database` are one stage.
impl PartialEq for Stage {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Stage {}

impl PartialOrd for Stage {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stage {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.pad("http"),
            Self::Consumers => f.pad("consumers"),
            Self::Outbox => f.pad("outbox"),
            Self::Database => f.pad("database"),
            Self::Cache => f.pad("cache"),
            Self::Telemetry => f.pad("telemetry"),
            Self::Custom(rank) => f.pad(&format!("stage {rank}")),
        }
    }
}

/// What a hook may return: nothing, or a result whose error can be shown.
pub trait HookOutcome {
    /// Turns the value into what the report keeps.
    ///
    /// # Errors
    ///
    /// The text of the hook's own error.
    fn into_outcome(self) -> Result<(), String>;
}

impl HookOutcome for () {
    fn into_outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> HookOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// Why a hook was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// Its stage has begun or is over.
    #[error("hook {name} came too late for stage {stage}, register it before the shutdown")]
    StageOver {
        /// The stage that was asked for.
        stage: Stage,
        /// The name of the hook.
        name: String,
    },
}

pub(crate) type HookFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

pub(crate) struct Entry {
    id: u64,
    pub(crate) stage: Stage,
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) required: bool,
    pub(crate) future: HookFuture,
}

#[derive(Default)]
pub(crate) struct Registry {
    entries: Vec<Entry>,
    next_id: u64,
    /// The rank of the last stage that began.
    begun: Option<u16>,
}

impl Registry {
    fn register(
        &mut self,
        stage: Stage,
        name: String,
        future: HookFuture,
    ) -> Result<u64, HookError> {
        if self.begun.is_some_and(|begun| stage.rank() <= begun) {
            return Err(HookError::StageOver { stage, name });
        }
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push(Entry { id, stage, name, timeout: TIMEOUT, required: false, future });
        Ok(id)
    }

    /// Takes the hooks of the next stage, the one of the background tasks
    /// included even if it has none.
    pub(crate) fn next_stage(&mut self) -> Option<(Stage, Vec<Entry>)> {
        let tasks = Stage::Consumers;
        let tasks_due = self.begun.is_none_or(|begun| begun < tasks.rank()).then_some(tasks);
        let stage = self.entries.iter().map(|entry| entry.stage).chain(tasks_due).min()?;
        self.begun = Some(stage.rank());
        let all = mem::take(&mut self.entries);
        let (now, later) = all.into_iter().partition(|entry| entry.stage == stage);
        self.entries = later;
        Some((stage, now))
    }

    /// Lets no further hook in.
    pub(crate) fn close(&mut self) {
        self.begun = Some(u16::MAX);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| (&entry.stage, &entry.name)))
            .finish()
    }
}

/// Adjusts a hook that was just registered. Ignoring it keeps the defaults:
/// five seconds, not required.
pub struct Hook<'a> {
    registry: &'a Mutex<Registry>,
    id: u64,
}

impl<'a> Hook<'a> {
    pub(crate) fn register(
        registry: &'a Mutex<Registry>,
        stage: Stage,
        name: String,
        future: HookFuture,
    ) -> Result<Self, HookError> {
        let id = lock(registry).register(stage, name, future)?;
        Ok(Self { registry, id })
    }

    /// Sets the longest time the hook may take; the deadline of the shutdown
    /// can make it shorter. With zero the hook is polled once.
    #[expect(
        clippy::return_self_not_must_use,
        clippy::must_use_candidate,
        reason = "the change is made at once"
    )]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.edit(|entry| entry.timeout = timeout);
        self
    }

    /// Makes the exit code 1 when the hook fails, panics or times out.
    #[expect(
        clippy::return_self_not_must_use,
        clippy::must_use_candidate,
        reason = "the change is made at once"
    )]
    pub fn required(self) -> Self {
        self.edit(|entry| entry.required = true);
        self
    }

    fn edit(&self, change: impl FnOnce(&mut Entry)) {
        let mut registry = lock(self.registry);
        // Gone if the stage has begun meanwhile.
        if let Some(entry) = registry.entries.iter_mut().find(|entry| entry.id == self.id) {
            change(entry);
        }
    }
}

impl fmt::Debug for Hook<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.id).finish()
    }
}

/// Runs a blocking hook on a thread of its own.
///
/// Not on the runtime's blocking pool: that may be full of what hangs, and
/// its end waits for every one of its threads.
pub(crate) async fn on_thread<F>(hook: F) -> Result<(), String>
where
    F: FnOnce() -> Result<(), String> + Send + 'static,
{
    let (done, result) = oneshot::channel();
    let body = move || {
        let outcome = unwound(hook).unwrap_or_else(|panic| Err(format!("panicked: {panic}")));
        let _ = done.send(outcome);
    };
    thread::Builder::new()
        .name("zdd-hook".into())
        .spawn(body)
        .map_err(|error| format!("no thread for the hook: {error}"))?;
    result.await.unwrap_or_else(|_| Err("thread of the hook vanished".to_owned()))
}
