//! Counts what is in flight, without a line of memory that all cores fight for.
//!
//! A count is a set of shards, each on its own cache lines; a thread always
//! uses the same shard. Taking a place is one atomic increment and giving it
//! back another one: that is what a request pays.
//!
//! Nothing is cheaper than a pointer that needs no counting itself, so the
//! shards are never freed. They are used again instead: [`Books`] go back to a
//! shelf when their shutdown is dropped, and leave it once their last place was
//! given back. A process has as many as it ever had shutdowns at once, which is one.
//!
//! Only the one who waits for zero sums the shards. The sum can be trusted
//! because of a handshake with the phase, which `tests/loom.rs` checks:
//!
//! ```text
//! request:  increment shard │ load phase
//! drainer:  store phase     │ sum shards
//! ```
//!
//! All four are sequentially consistent, so there is one order of them on which
//! everybody agrees, and at least one side sees the other: either the request
//! sees the new phase, or the drainer sees the request.
//!
//! Shards are read one after the other, while work is handed on: a job takes a
//! guard for the next one and drops its own, a listener that closes leaves
//! connections. So places that were taken and places that were given back are
//! counted apart, and those given back are read first, in all counters, before
//! the first of those taken is. Whoever is seen to have left is then seen with
//! all that it left behind, and where both numbers are the same there was a
//! moment at which no place was taken.

use std::fmt;

use crate::{
    phase::Phase,
    sync::{atomic, sequenced, slot},
};

/// Most shards that are of use; more cost memory and summing time.
const MAX_SHARDS: usize = 64;

/// What a request reads of the shutdown: loads only, nothing to subscribe to.
pub(crate) struct Signpost {
    phase: atomic::AtomicU8,
    /// Share of responses that ask the client to move during the lame duck, of `u32::MAX`.
    close_share: atomic::AtomicU32,
    /// Spreads the share evenly over responses.
    turn: atomic::AtomicU32,
}

impl Signpost {
    pub(crate) fn new() -> Self {
        Self {
            phase: atomic::AtomicU8::new(Phase::Starting as u8),
            close_share: atomic::AtomicU32::new(0),
            turn: atomic::AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(atomic::Ordering::SeqCst))
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, atomic::Ordering::SeqCst);
        sequenced();
    }

    pub(crate) fn set_close_share(&self, share: f64) {
        // The cast saturates.
        let share = (share * f64::from(u32::MAX)) as u32;
        self.close_share.store(share, atomic::Ordering::Relaxed);
    }

    /// Decides whether one response asks its HTTP/1 client to move.
    #[inline]
    pub(crate) fn wants_close(&self) -> bool {
        self.is_shutting_down() && self.wants_close_now()
    }

    /// Reads the phase without decoding it, for the hot path.
    #[inline]
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.phase.load(atomic::Ordering::SeqCst) >= Phase::LameDuck as u8
    }

    #[cold]
    fn wants_close_now(&self) -> bool {
        match self.phase() {
            Phase::Starting | Phase::Serving => false,
            Phase::LameDuck => {
                // Multiples of the golden ratio are spread evenly, so that a
                // share of 10 % is every tenth response and not a lucky streak.
                const GOLDEN: u32 = 0x9E37_79B9;
                let turn = self.turn.fetch_add(GOLDEN, atomic::Ordering::Relaxed);
                turn < self.close_share.load(atomic::Ordering::Relaxed)
            }
            Phase::Draining | Phase::Closing | Phase::Hooks | Phase::Exited | Phase::Forced => true,
        }
    }
}

impl fmt::Debug for Signpost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase().fmt(f)
    }
}

/// One counter on its own cache lines (two, since prefetchers fetch pairs).
#[repr(align(128))]
struct Shard {
    signpost: &'static Signpost,
    /// Places that were ever taken; all numbers here may go round.
    taken: atomic::AtomicUsize,
    /// Those of them that were given back.
    given_back: atomic::AtomicUsize,
    /// Those of these that were given back since the shutdown began.
    finished: atomic::AtomicU64,
}

/// Counts guards that are alive.
#[derive(Clone, Copy)]
pub(crate) struct Counter {
    /// A power of two of them, so that a thread's index is a mask away.
    shards: &'static [Shard],
}

/// Holds one place in a [`Counter`] until dropped.
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Place {
    shard: &'static Shard,
}

/// Everything that one shutdown counts.
#[derive(Clone, Copy)]
pub(crate) struct Books {
    pub(crate) signpost: &'static Signpost,
    pub(crate) requests: Counter,
    pub(crate) guards: Counter,
    pub(crate) connections: Counter,
    /// Connections of servers that are not this crate's.
    pub(crate) foreign: Counter,
    pub(crate) listeners: Counter,
}

/// What is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Alive {
    pub(crate) requests: usize,
    pub(crate) guards: usize,
    pub(crate) connections: usize,
    pub(crate) foreign: usize,
    pub(crate) listeners: usize,
}

impl Alive {
    /// Requests and guards: what has to end by itself.
    pub(crate) fn in_flight(&self) -> usize {
        self.requests + self.guards
    }

    /// Connections, whosever they are.
    pub(crate) fn open(&self) -> usize {
        self.connections + self.foreign
    }
}

impl Books {
    /// Makes books that live to the end of the process.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_shards(cores.next_power_of_two().min(MAX_SHARDS))
    }

    /// The number of shards must be a power of two.
    pub(crate) fn with_shards(shards: usize) -> Self {
        let signpost: &'static Signpost = Box::leak(Box::new(Signpost::new()));
        let counter = || Counter::with_shards(signpost, shards);
        Self {
            signpost,
            requests: counter(),
            guards: counter(),
            connections: counter(),
            foreign: counter(),
            listeners: counter(),
        }
    }

    /// Counts what is alive. Numbers can be too high while places are taken and given
    /// back; those that are zero were zero at one moment, all of them at the same.
    pub(crate) fn alive(&self) -> Alive {
        let counters = self.counters();
        let given_back = counters.map(|counter| counter.given_back());
        let taken = counters.map(|counter| counter.taken());
        let [requests, guards, connections, foreign, listeners] =
            std::array::from_fn(|i| taken[i].wrapping_sub(given_back[i]));
        Alive { requests, guards, connections, foreign, listeners }
    }

    /// Returns whether no place is taken, so that nothing points here.
    pub(crate) fn are_closed(&self) -> bool {
        self.counters().iter().all(|counter| counter.sum() == 0)
    }

    /// Turns to a new page. For books that nobody uses: see [`are_closed`](Self::are_closed).
    pub(crate) fn reopen(&self) {
        self.signpost.set_phase(Phase::Starting);
        self.signpost.set_close_share(0.0);
        for shard in self.counters().iter().flat_map(|counter| counter.shards) {
            shard.finished.store(0, atomic::Ordering::Relaxed);
        }
    }

    fn counters(&self) -> [Counter; 5] {
        [self.requests, self.guards, self.connections, self.foreign, self.listeners]
    }
}

impl Counter {
    /// The number of shards must be a power of two.
    pub(crate) fn with_shards(signpost: &'static Signpost, shards: usize) -> Self {
        let shard = |_| Shard {
            signpost,
            taken: atomic::AtomicUsize::new(0),
            given_back: atomic::AtomicUsize::new(0),
            finished: atomic::AtomicU64::new(0),
        };
        Self { shards: Vec::leak((0..shards).map(shard).collect()) }
    }

    /// Numbers of the cache line pairs on which the shards lie.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| std::ptr::from_ref(shard).addr() / 128).collect()
    }

    /// Takes a place. What the caller loads afterwards is ordered behind it.
    #[inline]
    pub(crate) fn enter(&self) -> Place {
        let shard = &self.shards[slot() & (self.shards.len() - 1)];
        shard.taken.fetch_add(1, atomic::Ordering::SeqCst);
        sequenced();
        Place { shard }
    }

    /// Sums what was given back since the shutdown began.
    pub(crate) fn finished(&self) -> u64 {
        self.shards.iter().map(|shard| shard.finished.load(atomic::Ordering::Relaxed)).sum()
    }

    /// Returns how many places are taken. Too high while some are being taken and given
    /// back, and zero only if there was a moment without any; see the handshake above.
    /// What was done under a place is visible to a caller who saw that it was given back.
    pub(crate) fn sum(&self) -> usize {
        let given_back = self.given_back();
        self.taken().wrapping_sub(given_back)
    }

    fn taken(&self) -> usize {
        let load = |shard: &Shard| shard.taken.load(atomic::Ordering::SeqCst);
        self.shards.iter().map(load).fold(0, usize::wrapping_add)
    }

    fn given_back(&self) -> usize {
        let load = |shard: &Shard| shard.given_back.load(atomic::Ordering::SeqCst);
        self.shards.iter().map(load).fold(0, usize::wrapping_add)
    }
}

impl Place {
    /// Reads the phase through the place, which needs no other pointer.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shard.signpost.is_shutting_down()
    }

    /// Decides whether the response asks its HTTP/1 client to move.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn wants_close(&self) -> bool {
        self.shard.signpost.wants_close()
    }

    /// Gives the place back as if it had never been taken.
    #[cfg(feature = "hyper")]
    pub(crate) fn give_up(self) {
        self.shard.given_back.fetch_add(1, atomic::Ordering::Release);
        std::mem::forget(self);
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        if self.shard.signpost.is_shutting_down() {
            self.shard.finished.fetch_add(1, atomic::Ordering::Relaxed);
        }
        // The last access: after it, the books may be used again.
        self.shard.given_back.fetch_add(1, atomic::Ordering::Release);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.sum()).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}
