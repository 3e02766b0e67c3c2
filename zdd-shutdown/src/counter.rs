//! Counts what is in flight, without a line of memory that all cores fight for.
//!
//! A count is a set of shards, each on its own cache lines; a thread always
//! uses the same shard. A shard is an `Arc`, and its reference count *is* the
//! counter: the guard needs no other pointer to keep its shard alive, and
//! dropping it is one atomic decrement.
//!
//! Only the one who waits for zero sums the shards. The sum can be trusted
//! because of a handshake with the phase, which `tests/loom.rs` checks:
//!
//! ```text
//! request:  increment shard │ taken += 1 │ load phase
//! drainer:  store phase     │ load taken │ sum shards
//! ```
//!
//! The two in the middle and the phase are sequentially consistent. If the
//! request reads the old phase, its `taken += 1` precedes the drainer's load of
//! `taken`, which therefore synchronizes with it and sees the increment of the
//! shard. (A fence would do as well and costs more.) At least one side sees the other: either the request sees the new phase, or
//! the drainer sees the request. A guard gives back the shard it took, on
//! whatever thread it is dropped, so that shards never go below zero and a sum
//! of zero taken after the phase was stored means that no older guard is left.

use std::fmt;

use crate::{
    phase::Phase,
    sync::{Arc, atomic, slot},
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
    signpost: Arc<Signpost>,
    /// Places ever taken; what orders them before the phase is read.
    taken: atomic::AtomicU64,
    /// Places given back since the shutdown began.
    finished: atomic::AtomicU64,
}

/// Counts guards that are alive.
pub(crate) struct Counter {
    /// A power of two of them, so that a thread's index is a mask away.
    shards: Box<[Arc<Shard>]>,
}

/// Holds one place in a [`Counter`] until dropped.
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Place {
    shard: Arc<Shard>,
}

impl Counter {
    pub(crate) fn new(signpost: &Arc<Signpost>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_shards(signpost, cores.next_power_of_two().min(MAX_SHARDS))
    }

    /// The number of shards must be a power of two.
    pub(crate) fn with_shards(signpost: &Arc<Signpost>, shards: usize) -> Self {
        let shard = |_| {
            Arc::new(Shard {
                signpost: Arc::clone(signpost),
                taken: atomic::AtomicU64::new(0),
                finished: atomic::AtomicU64::new(0),
            })
        };
        Self { shards: (0..shards).map(shard).collect() }
    }

    /// Numbers of the cache line pairs on which the shards lie.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| std::ptr::from_ref(&**shard).addr() / 128).collect()
    }

    /// Takes a place. What the caller loads afterwards is ordered behind it.
    #[inline]
    pub(crate) fn enter(&self) -> Place {
        let shard = Arc::clone(&self.shards[slot() & (self.shards.len() - 1)]);
        shard.taken.fetch_add(1, atomic::Ordering::SeqCst);
        Place { shard }
    }

    /// Sums what was given back since the shutdown began.
    pub(crate) fn finished(&self) -> u64 {
        self.shards.iter().map(|shard| shard.finished.load(atomic::Ordering::Relaxed)).sum()
    }

    /// Sums the shards. Exact only when no place is being taken or given back;
    /// zero is exact if the caller stored the phase before.
    pub(crate) fn sum(&self) -> usize {
        let count = |shard: &Arc<Shard>| {
            // Sees the increment of whoever read the phase before it was stored.
            shard.taken.load(atomic::Ordering::SeqCst);
            // One reference is our own.
            Arc::strong_count(shard) - 1
        };
        let sum = self.shards.iter().map(count).sum();
        // What was done under a place is visible once the place is given back.
        atomic::fence(atomic::Ordering::Acquire);
        sum
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
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        if self.shard.signpost.is_shutting_down() {
            self.shard.finished.fetch_add(1, atomic::Ordering::Relaxed);
        }
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
