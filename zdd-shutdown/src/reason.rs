//! Why a shutdown began.

use std::fmt;

/// A signal that asks the process to end.
///
/// On Windows, Ctrl-C and Ctrl-Break are [`Interrupt`](Self::Interrupt) and
/// [`Quit`](Self::Quit); closing the console and system shutdown are
/// [`Terminate`](Self::Terminate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: a person at a terminal.
    Interrupt,
    /// SIGQUIT: a person in a hurry.
    Quit,
    /// SIGTERM: the orchestrator.
    Terminate,
}

impl Signal {
    /// Returns the number that a shell adds to 128 in an exit code.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 15,
        }
    }

    /// Returns the POSIX name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Says why the shutdown began. The first reason stays; later ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The program has done its work.
    Completed,
    /// A critical background task failed, panicked or ended too early.
    CriticalTask {
        /// Name given to [`spawn_critical`](crate::ShutdownHandle::spawn_critical).
        name: String,
        /// What it returned or panicked with.
        error: String,
    },
    /// The program asked for it, for the reason in the text.
    Requested(String),
    /// A signal arrived.
    Signal(Signal),
}

impl Reason {
    /// Returns whether this reason alone makes the exit code 1.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::CriticalTask { .. })
    }

    /// Returns whether traffic has to be led away first: a person at a
    /// terminal has no load balancer, and a finished program no traffic.
    pub(crate) fn wants_lame_duck(&self) -> bool {
        match self {
            Self::Completed | Self::Signal(Signal::Interrupt | Signal::Quit) => false,
            Self::CriticalTask { .. } | Self::Requested(_) | Self::Signal(Signal::Terminate) => {
                true
            }
        }
    }
}

impl From<Signal> for Reason {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("work completed"),
            Self::CriticalTask { name, error } => write!(f, "critical task {name} failed: {error}"),
            Self::Requested(why) => write!(f, "requested: {why}"),
            Self::Signal(signal) => signal.fmt(f),
        }
    }
}
