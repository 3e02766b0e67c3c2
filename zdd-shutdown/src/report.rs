//! What a shutdown did, and the exit code that follows from it.

use std::{fmt, io::Write, process::ExitCode, time::Duration};

use crate::{hooks::Stage, phase::Phase, reason::Reason};

/// Tells what was drained, what was given up, and how long each phase took.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// Why the shutdown began.
    pub reason: Reason,
    /// The phases it went through, in order, with the time spent in each.
    pub phases: Vec<PhaseReport>,
    /// Time from the signal to the end of the last hook.
    pub took: Duration,
    /// The time that was allowed.
    pub deadline: Duration,
    /// Requests and guards that ended after the signal and in time.
    pub finished: u64,
    /// Requests and guards that were still alive when their time was over.
    pub abandoned: u64,
    /// Requests that came when their time was over, and were answered so: 503
    /// over HTTP/1, `REFUSED_STREAM` over HTTP/2. Nothing has seen them.
    #[cfg_attr(feature = "serde", serde(default))]
    pub refused: u64,
    /// Connections and what became of them.
    pub connections: ConnectionReport,
    /// Names of connections and tasks that were still running when their time was over.
    pub leftovers: Vec<String>,
    /// The hooks, in the order in which they were registered within each stage.
    pub hooks: Vec<HookReport>,
    /// Background tasks that failed, with their errors.
    pub failed_tasks: Vec<(String, String)>,
    /// The phase that was reached: [`Phase::Exited`] or [`Phase::Forced`].
    pub end: Phase,
}

/// How long a phase took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PhaseReport {
    /// The phase.
    pub phase: Phase,
    /// The time spent in it.
    pub took: Duration,
}

/// What became of tracked connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ConnectionReport {
    /// Ended in time.
    pub closed: u64,
    /// Cut during the drain since the client was silent or too slow.
    pub cut: u64,
    /// Cut since the time was over.
    pub aborted: u64,
    /// Taken from the accept queue at the moment the listener closed.
    pub rescued: u64,
}

/// What became of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HookReport {
    /// Its stage.
    pub stage: Stage,
    /// Its name.
    pub name: String,
    /// When it began, counted from the signal.
    pub began: Duration,
    /// How long it ran.
    pub took: Duration,
    /// Whether its failure makes the exit code 1.
    pub required: bool,
    /// How it ended.
    pub outcome: HookEnd,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum HookEnd {
    /// It did its work.
    Done,
    /// It returned an error or panicked.
    Failed(String),
    /// It was not run: no time was left.
    Skipped,
    /// It was cut at its timeout.
    TimedOut,
}

impl Report {
    /// Returns whether nothing was lost: no request abandoned or refused, no connection
    /// aborted, no required hook failed, no critical task failed, not forced.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let hooks_kept =
            self.hooks.iter().all(|hook| !hook.required || hook.outcome == HookEnd::Done);
        self.end == Phase::Exited
            && self.abandoned == 0
            && self.refused == 0
            && self.connections.aborted == 0
            && self.leftovers.is_empty()
            && hooks_kept
            && !self.reason.is_failure()
    }

    /// Returns 0 for a clean shutdown and 1 for any other.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.is_clean())
    }

    /// Ends the process with the exit code, at once.
    ///
    /// Unlike returning from `main`, this does not drop the runtime, whose
    /// drop waits for every blocking task. Standard output is flushed.
    pub fn exit(self) -> ! {
        let _ = std::io::stdout().flush();
        std::process::exit(i32::from(self.exit_code()))
    }
}

impl From<Report> for ExitCode {
    fn from(report: Report) -> Self {
        Self::from(report.exit_code())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_clean() { "clean" } else { "not clean" };
        writeln!(
            f,
            "shutdown ({}) {verdict}: took {:.3?} of {:?}, exit code {}",
            self.reason,
            self.took,
            self.deadline,
            self.exit_code()
        )?;
        for PhaseReport { phase, took } in &self.phases {
            writeln!(f, "  {phase:<10} {took:.3?}")?;
        }
        write!(f, "  requests   {} finished, {} abandoned", self.finished, self.abandoned)?;
        if self.refused > 0 {
            write!(f, ", {} refused", self.refused)?;
        }
        writeln!(f)?;
        let ConnectionReport { closed, cut, aborted, rescued } = self.connections;
        writeln!(
            f,
            "  connections {closed} closed, {cut} cut, {aborted} aborted, {rescued} rescued"
        )?;
        for hook in &self.hooks {
            write!(f, "  hook {}/{} at {:.3?}: ", hook.stage, hook.name, hook.began)?;
            match &hook.outcome {
                HookEnd::Done => writeln!(f, "done in {:.3?}", hook.took)?,
                HookEnd::Failed(error) => writeln!(f, "failed: {error}")?,
                HookEnd::Skipped => writeln!(f, "skipped, no time left")?,
                HookEnd::TimedOut => writeln!(f, "timed out after {:.3?}", hook.took)?,
            }
        }
        for (task, error) in &self.failed_tasks {
            writeln!(f, "  task {task} failed: {error}")?;
        }
        for leftover in &self.leftovers {
            writeln!(f, "  left behind: {leftover}")?;
        }
        Ok(())
    }
}
