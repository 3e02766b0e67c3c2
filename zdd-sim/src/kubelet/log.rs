//! The last output of a container, as it grows.
#![cfg_attr(not(feature = "process"), expect(dead_code, reason = "only real containers write"))]

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

/// How many bytes of lines a container's log holds; a kubelet rotates at 10 MiB.
pub(crate) const CAPACITY: usize = 256 * 1024;

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a process has two output streams")]
pub enum Stream {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
}

/// One line of a container's output.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// Where it was written to.
    pub stream: Stream,
    /// The text, without the line end; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Which run of the container wrote it; 1 for the first.
    pub run: u32,
}

/// The last lines of one container, of all its runs. A handle: clones are the same log.
#[derive(Clone)]
pub struct ContainerLog {
    lines: Arc<Mutex<Lines>>,
    changed: Arc<watch::Sender<()>>,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// How many lines gave way to newer ones.
    dropped: usize,
    run: u32,
    runs_now: bool,
}

/// What a reader finds beyond what it has.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) position: usize,
    /// Nothing more comes unless the container is started again.
    pub(crate) is_over: bool,
}

impl Default for ContainerLog {
    fn default() -> Self {
        Self { lines: Arc::default(), changed: Arc::new(watch::channel(()).0) }
    }
}

impl ContainerLog {
    /// Returns the lines that are held.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        self.lock().lines.iter().cloned().collect()
    }

    /// Adds a line to the present run.
    pub(crate) fn push(&self, stream: Stream, text: String) {
        {
            let mut log = self.lock();
            log.bytes += text.len();
            let run = log.run;
            log.lines.push_back(LogLine { at: Timestamp::now(), stream, text, run });
            while log.bytes > CAPACITY {
                let Some(oldest) = log.lines.pop_front() else { break };
                log.bytes -= oldest.text.len();
                log.dropped += 1;
            }
        }
        self.changed.send_replace(());
    }

    /// A process was started.
    pub(crate) fn begin(&self) {
        let mut log = self.lock();
        log.run += 1;
        log.runs_now = true;
    }

    /// The process has ended, and all that it wrote was read.
    pub(crate) fn end(&self) {
        self.lock().runs_now = false;
        self.changed.send_replace(());
    }

    /// The number of the newest run, 0 before the first.
    pub(crate) fn run(&self) -> u32 {
        self.lock().run
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns what was added after `position`.
    pub(crate) fn since(&self, position: usize) -> News {
        let log = self.lock();
        let skipped = position.saturating_sub(log.dropped);
        News {
            lines: log.lines.iter().skip(skipped).cloned().collect(),
            position: log.dropped + log.lines.len(),
            is_over: !log.runs_now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ContainerLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerLog").field("lines", &self.lock().lines.len()).finish()
    }
}
