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
    ///
    /// # Guarantees
    ///
    /// [`phase`](Self::phase) comes first: whoever sees the token cancelled reads that phase
    /// or a later one from it. A token that is made once the phase can be read is cancelled
    /// from the start; one that was made before may be cancelled a moment later.
    #[must_use]
    pub fn token(&self, phase: Phase) -> CancellationToken {
        self.shared.tokens.of(phase, || self.phase())
    }
}

/// One token per phase, made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<[Option<CancellationToken>; Phase::ALL.len()]>);

impl Tokens {
    /// Returns a token of `phase`, given how to read the present one.
    fn of(&self, phase: Phase, now: impl FnOnce() -> Phase) -> CancellationToken {
        let mut tokens = lock(&self.0);
        let token = tokens[phase as usize].get_or_insert_default().child_token();
        // Read under the lock: if it is too old, `reach` is still to come, and finds the token.
        let reached = phase <= now();
        drop(tokens);
        if reached {
            token.cancel();
        }
        token
    }

    /// Cancels the tokens of this phase and of all before it. The phase can be read already:
    /// a token that is made from now on is cancelled by its maker.
    pub(crate) fn reach(&self, phase: Phase) {
        let reached = lock(&self.0)[..=phase as usize].to_vec();
        // Outside of the lock: what is woken may ask for a token.
        for token in reached.into_iter().flatten() {
            token.cancel();
        }
    }
}
