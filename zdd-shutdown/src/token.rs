//! The phases as tokens of tokio-util.

use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use crate::{handle::ShutdownHandle, phase::Phase, shared::lock};

impl ShutdownHandle {
    /// Returns a token that is cancelled when `phase` begins, for code that
    /// takes one: [`Phase::LameDuck`] for what should take no new work,
    /// [`Phase::Draining`] for what should say goodbye.
    ///
    /// Cancelling it by hand does not begin the shutdown.
    #[must_use]
    pub fn token(&self, phase: Phase) -> CancellationToken {
        self.shared.tokens.of(phase)
    }
}

/// One token per phase, made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Tokens(Mutex<Known>);

#[derive(Debug)]
struct Known {
    reached: Phase,
    tokens: [Option<CancellationToken>; Phase::ALL.len()],
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { reached: Phase::Starting, tokens: Default::default() }))
    }

    fn of(&self, phase: Phase) -> CancellationToken {
        let mut known = lock(&self.0);
        let reached = known.reached;
        let token = known.tokens[phase as usize].get_or_insert_default();
        if phase <= reached {
            token.cancel();
        }
        token.child_token()
    }

    /// Cancels the tokens of this phase and of all before it.
    pub(crate) fn reach(&self, phase: Phase) {
        let mut known = lock(&self.0);
        known.reached = phase;
        for token in known.tokens[..=phase as usize].iter().flatten() {
            token.cancel();
        }
    }
}
