//! What the owner, the handles, the threads and the adapters share.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    budget::Budget, counter::Books, hooks::Registry, phase::Phase, reason::Reason,
    report::ConnectionReport, settings::Settings, tasks::Tasks,
};

/// Wakes the coordinator thread.
#[derive(Debug)]
pub(crate) enum Command {
    Ready,
    Trigger,
    HooksDone,
    Force,
}

/// When and why the shutdown began.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) at: Instant,
    pub(crate) reason: Reason,
}

/// Numbers for the report that no counter holds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections closed because the client was too slow or silent.
    pub(crate) cut: AtomicU64,
    /// Connections still open when their time was over.
    pub(crate) aborted: AtomicU64,
    /// Connections taken from the accept queue when the listener closed.
    pub(crate) rescued: AtomicU64,
    /// Requests that came when their time was over, and were told so.
    pub(crate) refused: AtomicU64,
}

/// What the counters said when the time of requests was over.
#[derive(Debug, Clone, Copy)]
struct InTime {
    /// Requests and guards that had ended.
    finished: u64,
    /// Those that had not.
    abandoned: usize,
    /// Connections of foreign servers that had ended.
    foreign_closed: u64,
    /// Those that had not. What this crate serves is followed to its end, and counts itself.
    foreign_aborted: usize,
}

/// What became of requests and connections since the shutdown began.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) finished: u64,
    pub(crate) abandoned: u64,
    pub(crate) refused: u64,
    pub(crate) connections: ConnectionReport,
}

pub(crate) struct Shared {
    books: Books,
    watch: watch::Sender<Phase>,
    /// New connections (or requests, where connections are not tracked) that were not probes.
    pub(crate) arrivals: AtomicU64,
    /// Whether anybody but the kubelet has ever called.
    pub(crate) called: AtomicBool,
    /// Set once a tracked listener exists; then only connections are arrivals.
    #[cfg(feature = "tower")]
    pub(crate) tracks_connections: AtomicBool,
    #[cfg(feature = "tokio-util")]
    pub(crate) tokens: crate::token::Tokens,
    /// Tells who publishes metrics that the phase has changed.
    #[cfg(feature = "metrics")]
    pub(crate) publisher: OnceLock<mpsc::Sender<()>>,
    marked_ready: AtomicBool,
    marked_dead: AtomicBool,
    pub(crate) budget: Budget,
    pub(crate) settings: Settings,
    pub(crate) tally: Tally,
    pub(crate) hooks: Mutex<Registry>,
    pub(crate) tasks: Mutex<Tasks>,
    /// What was still running when its time was over, by name.
    leftovers: Mutex<Vec<String>>,
    timeline: Mutex<Vec<(Phase, Instant)>>,
    /// Set once that time is over.
    in_time: OnceLock<InTime>,
    started: OnceLock<Started>,
    commands: mpsc::Sender<Command>,
    watchdog: Option<mpsc::Sender<Instant>>,
}

/// Most names that a report lists.
const MAX_LEFTOVERS: usize = 32;

impl Shared {
    pub(crate) fn new(
        budget: Budget,
        settings: Settings,
        commands: mpsc::Sender<Command>,
        watchdog: Option<mpsc::Sender<Instant>>,
    ) -> Self {
        Self {
            books: take_books(),
            watch: watch::Sender::new(Phase::Starting),
            arrivals: AtomicU64::new(0),
            called: AtomicBool::new(false),
            #[cfg(feature = "tower")]
            tracks_connections: AtomicBool::new(false),
            #[cfg(feature = "tokio-util")]
            tokens: crate::token::Tokens::default(),
            #[cfg(feature = "metrics")]
            publisher: OnceLock::new(),
            marked_ready: AtomicBool::new(false),
            marked_dead: AtomicBool::new(false),
            budget,
            settings,
            tally: Tally::default(),
            hooks: Mutex::default(),
            tasks: Mutex::default(),
            leftovers: Mutex::default(),
            timeline: Mutex::new(vec![(Phase::Starting, Instant::now())]),
            in_time: OnceLock::new(),
            started: OnceLock::new(),
            commands,
            watchdog,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.books.signpost.phase()
    }

    /// Returns whether the time of requests is over.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_over(&self) -> bool {
        self.phase() >= Phase::Hooks
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.watch.subscribe()
    }

    /// Waits until the phase is at least `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`, so that this cannot fail.
        let _ = self.watch.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Publishes a phase. Only the coordinator thread calls this.
    ///
    /// The cell comes first and the waiters last: what a woken waiter reads must
    /// not be older than what woke it.
    pub(crate) fn enter_phase(&self, phase: Phase) {
        self.books.signpost.set_phase(phase);
        lock(&self.timeline).push((phase, Instant::now()));
        #[cfg(feature = "tokio-util")]
        self.tokens.reach(phase);
        #[cfg(feature = "metrics")]
        if let Some(publisher) = self.publisher.get() {
            // An error means that the last phase was published.
            let _ = publisher.send(());
        }
        self.watch.send_replace(phase);
    }

    /// Counts what has not ended in time. Only the coordinator thread calls this.
    pub(crate) fn end_time_of_requests(&self) {
        if self.in_time.get().is_some() {
            return;
        }
        let in_time = self.count();
        if in_time.foreign_aborted > 0 {
            let count = in_time.foreign_aborted;
            self.leave_behind(|| format!("connections of a foreign server: {count}"));
        }
        // Set once, here.
        let _ = self.in_time.set(in_time);
    }

    /// Counts as if the time of requests were over now.
    fn count(&self) -> InTime {
        let finished = self.requests.finished() + self.guards.finished();
        let foreign_closed = self.foreign.finished();
        let alive = self.alive();
        InTime {
            finished,
            abandoned: alive.in_flight(),
            foreign_closed,
            foreign_aborted: alive.foreign,
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let Tally { cut, aborted, rescued, refused } = &self.tally;
        let (cut, aborted) = (load(cut), load(aborted));
        let in_time = self.in_time.get().copied();
        // Before that time is over, nothing is abandoned.
        let InTime { finished, abandoned, foreign_closed, foreign_aborted } =
            in_time.unwrap_or_else(|| InTime { abandoned: 0, foreign_aborted: 0, ..self.count() });
        let closed = self.connections.finished().saturating_sub(cut + aborted);
        Totals {
            finished,
            abandoned: abandoned as u64,
            refused: load(refused),
            connections: ConnectionReport {
                closed: closed + foreign_closed,
                cut,
                aborted: aborted + foreign_aborted as u64,
                rescued: load(rescued),
            },
        }
    }

    pub(crate) fn timeline(&self) -> Vec<(Phase, Instant)> {
        lock(&self.timeline).clone()
    }

    /// Begins the shutdown; returns whether this call was the first.
    pub(crate) fn trigger(&self, reason: Reason) -> bool {
        let started = Started { at: Instant::now(), reason };
        if self.started.set(started.clone()).is_err() {
            return false;
        }
        // The watchdog before anything that could block.
        if let Some(watchdog) = &self.watchdog {
            let _ = watchdog.send(started.at + self.budget.deadline);
        }
        self.send(Command::Trigger);
        true
    }

    pub(crate) fn send(&self, command: Command) {
        // The receiver is gone only after the last phase.
        let _ = self.commands.send(command);
    }

    pub(crate) fn started(&self) -> Option<&Started> {
        self.started.get()
    }

    /// Time until the deadline; the whole deadline when no shutdown has begun.
    pub(crate) fn remaining(&self) -> Duration {
        match self.started() {
            None => self.budget.deadline,
            Some(started) => {
                (started.at + self.budget.deadline).saturating_duration_since(Instant::now())
            }
        }
    }

    pub(crate) fn mark_ready(&self) {
        if !self.marked_ready.swap(true, Ordering::AcqRel) {
            self.send(Command::Ready);
        }
    }

    pub(crate) fn mark_unready(&self) {
        self.marked_ready.store(false, Ordering::Release);
    }

    pub(crate) fn is_marked_ready(&self) -> bool {
        self.marked_ready.load(Ordering::Acquire)
    }

    pub(crate) fn mark_dead(&self) {
        self.marked_dead.store(true, Ordering::Release);
    }

    pub(crate) fn is_marked_dead(&self) -> bool {
        self.marked_dead.load(Ordering::Acquire)
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.books.signpost.wants_close()
    }

    pub(crate) fn set_close_share(&self, share: f64) {
        self.books.signpost.set_close_share(share);
    }

    pub(crate) fn leave_behind(&self, name: impl FnOnce() -> String) {
        let mut leftovers = lock(&self.leftovers);
        if leftovers.len() < MAX_LEFTOVERS {
            leftovers.push(name());
        }
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        lock(&self.leftovers).clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("phase", &self.books.signpost)
            .field("requests", &self.requests)
            .field("guards", &self.guards)
            .field("connections", &self.connections)
            .field("foreign", &self.foreign)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Deref for Shared {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&SHELF).push(self.books);
    }
}

/// Books of shutdowns that are gone.
static SHELF: Mutex<Vec<Books>> = Mutex::new(Vec::new());

/// Takes books from the shelf, or makes some. Those in which a place is still
/// taken stay there until it was given back.
fn take_books() -> Books {
    let mut shelf = lock(&SHELF);
    let Some(index) = shelf.iter().position(Books::are_closed) else { return Books::new() };
    let books = shelf.swap_remove(index);
    books.reopen();
    books
}

/// Locks a mutex whose data stays valid when a holder panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
