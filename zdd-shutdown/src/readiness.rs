//! What the probes answer.

use std::{fmt, sync::Arc};

use crate::{phase::Phase, settings::ReadinessPolicy, shared::Shared};

/// Switches readiness and liveness.
///
/// The two answer different questions, and only readiness changes during a
/// shutdown: a liveness probe that fails then would have the kubelet kill a
/// process that is finishing its work.
#[derive(Clone)]
pub struct Readiness {
    shared: Arc<Shared>,
}

impl Readiness {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Declares the process ready; the first call begins [`Phase::Serving`].
    pub fn mark_ready(&self) {
        self.shared.mark_ready();
    }

    /// Declares the process not ready for now, for example while a dependency is away.
    pub fn mark_unready(&self) {
        self.shared.mark_unready();
    }

    /// Declares the process beyond repair: the liveness probe fails from now on.
    pub fn mark_dead(&self) {
        self.shared.mark_dead();
    }

    /// Returns what the readiness probe answers, by the
    /// [`ReadinessPolicy`] of the shutdown.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let flips_at = match self.shared.settings.readiness {
            ReadinessPolicy::FlipAtSignal => Phase::LameDuck,
            ReadinessPolicy::FlipAtClose => Phase::Closing,
        };
        // The trigger counts at once, not when the coordinator has heard of it.
        let triggered = self.shared.settings.readiness == ReadinessPolicy::FlipAtSignal
            && self.shared.started().is_some();
        self.shared.is_marked_ready() && self.shared.phase() < flips_at && !triggered
    }

    /// Returns what the liveness probe answers: true to the end, unless
    /// [`mark_dead`](Self::mark_dead) was called.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.shared.is_marked_dead()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("ready", &self.is_ready())
            .field("alive", &self.is_alive())
            .finish()
    }
}
