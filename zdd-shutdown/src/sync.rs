//! What the counter is made of; `tests/loom.rs` puts loom's types in its place.

use std::cell::Cell;
pub(crate) use std::sync::atomic;

/// Returns a small number that is the thread's own.
#[inline]
pub(crate) fn slot() -> usize {
    static NEXT: atomic::AtomicUsize = atomic::AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SLOT.with(|slot| {
        if slot.get() == usize::MAX {
            slot.set(NEXT.fetch_add(1, atomic::Ordering::Relaxed));
        }
        slot.get()
    })
}

/// Stands between two sequentially consistent accesses, which need nothing
/// there. Loom does not know their common order, and gets a fence.
#[inline]
pub(crate) fn sequenced() {}
