//! Counts what is in flight, without a line of memory that all cores fight for.
//!
//! A count is a set of shards, each on its own cache lines; a thread always
//! uses the same shard. Taking a place is one atomic increment and giving it
//! back one decrement: that is what a request pays.
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
//! sees the new phase, or the drainer sees the request. A
//! guard gives back the shard it took, on whatever thread it is dropped, so
//! that shards never go below zero and a sum of zero taken after the phase was
//! stored means that no older guard is left.

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
    /// Places that are taken.
    taken: atomic::AtomicUsize,
    /// Places given back since the shutdown began.
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
    pub(crate) listeners: Counter,
}

impl Books {
    /// Makes books that live to the end of the process.
    pub(crate) fn new() -> Self {
        let signpost: &'static Signpost = Box::leak(Box::new(Signpost::new()));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shards = cores.next_power_of_two().min(MAX_SHARDS);
        let counter = || Counter::with_shards(signpost, shards);
        Self {
            signpost,
            requests: counter(),
            guards: counter(),
            connections: counter(),
            listeners: counter(),
        }
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

    fn counters(&self) -> [Counter; 4] {
        [self.requests, self.guards, self.connections, self.listeners]
    }
}

impl Counter {
    /// The number of shards must be a power of two.
    pub(crate) fn with_shards(signpost: &'static Signpost, shards: usize) -> Self {
        let shard = |_| Shard {
            signpost,
            taken: atomic::AtomicUsize::new(0),
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

    /// Sums the shards. Exact only when no place is being taken or given back;
    /// zero is exact if the caller stored the phase before. What was done under
    /// a place is visible to a caller who saw that it was given back.
    pub(crate) fn sum(&self) -> usize {
        self.shards.iter().map(|shard| shard.taken.load(atomic::Ordering::SeqCst)).sum()
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
        self.shard.taken.fetch_sub(1, atomic::Ordering::Release);
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
        self.shard.taken.fetch_sub(1, atomic::Ordering::Release);
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
