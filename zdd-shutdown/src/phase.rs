//! The phases of a shutdown, as users see them.

use std::fmt;

/// Names what the process is doing with respect to its own end.
///
/// Phases only move forward, so that comparisons such as
/// `phase >= Phase::Draining` are stable: once true, they stay true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// The process is not ready yet; a signal now leads to [`Closing`](Self::Closing) at once,
    /// where only what has begun all the same is waited for, such as a job under a guard.
    Starting = 0,
    /// Requests are served.
    Serving = 1,
    /// Requests are served and new connections accepted, while clients and load balancers are moved away.
    LameDuck = 2,
    /// New connections are still accepted; idle ones are closed and long-lived responses are asked to end.
    Draining = 3,
    /// The listener is closed; what was accepted is finished.
    Closing = 4,
    /// Clean-up hooks run, stage by stage.
    Hooks = 5,
    /// Everything ended by itself.
    Exited = 6,
    /// The deadline or a second signal ended it.
    Forced = 7,
}

impl Phase {
    /// All phases in the order in which they happen.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Serving,
        Self::LameDuck,
        Self::Draining,
        Self::Closing,
        Self::Hooks,
        Self::Exited,
        Self::Forced,
    ];

    /// Returns whether the shutdown has begun.
    #[must_use]
    #[inline]
    pub fn is_shutting_down(self) -> bool {
        self >= Self::LameDuck
    }

    /// Returns whether this phase is final.
    #[must_use]
    pub fn is_final(self) -> bool {
        self >= Self::Exited
    }

    /// Reads a phase back from the byte that the signpost stores.
    #[inline]
    pub(crate) fn from_u8(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or(Self::Forced)
    }

    /// Returns the lower-case name that logs and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::LameDuck => "lame duck",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Hooks => "hooks",
            Self::Exited => "exited",
            Self::Forced => "forced",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
