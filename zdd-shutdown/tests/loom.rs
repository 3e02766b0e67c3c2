//! Every interleaving of the counter's handshake, by loom.
//!
//! Loom treats sequentially consistent accesses as acquire and release, and
//! knows only fences to be more. So it is given fences between them, and this
//! checks the order of the steps; that the accesses suffice without fences is
//! the definition of their order.
//!
//! The modules under test are included, with loom's types in the place of the
//! standard library's. That needs no `cfg`, which all dependencies would see.

#![expect(dead_code, unreachable_pub, reason = "only the protocol of the modules is used")]

use loom::thread;

#[path = "../src/counter.rs"]
mod counter;
#[path = "../src/phase.rs"]
mod phase;

mod sync {
    pub(crate) use loom::sync::atomic;

    pub(crate) fn sequenced() {
        atomic::fence(atomic::Ordering::SeqCst);
    }

    thread_local! {
        /// Loom runs all its threads on one of the system's, and changes between them at
        /// atomics only.
        static SLOT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// The shard that is taken next: shared by all threads unless set, the harder case.
    pub(crate) fn slot() -> usize {
        SLOT.take()
    }

    /// Sets the shard that the next place is taken in.
    pub(crate) fn next_slot(slot: usize) {
        SLOT.set(slot);
    }
}

use counter::{Books, Counter, Signpost};
use phase::Phase;

fn fixture(shards: usize) -> (&'static Signpost, Counter) {
    let signpost: &'static Signpost = Box::leak(Box::new(Signpost::new()));
    signpost.set_phase(Phase::Serving);
    (signpost, Counter::with_shards(signpost, shards))
}

#[test]
fn a_request_that_saw_the_old_phase_is_seen_by_the_drainer() {
    loom::model(|| {
        let (signpost, counter) = fixture(1);
        let request = thread::spawn(move || {
            let place = counter.enter();
            let saw = place.is_shutting_down();
            (place, saw)
        });
        signpost.set_phase(Phase::Draining);
        let sum = counter.sum();
        let (_place, saw) = request.join().unwrap();
        assert!(sum == 1 || saw, "the drainer counts {sum}, the request saw no shutdown");
    });
}

#[test]
#[should_panic(expected = "the drainer counts 0, the request saw no shutdown")]
fn a_request_that_reads_the_phase_too_early_is_caught() {
    loom::model(|| {
        let (signpost, counter) = fixture(1);
        let request = thread::spawn(move || {
            let saw = signpost.is_shutting_down();
            (counter.enter(), saw)
        });
        signpost.set_phase(Phase::Draining);
        let sum = counter.sum();
        let (_place, saw) = request.join().unwrap();
        assert!(sum == 1 || saw, "the drainer counts {sum}, the request saw no shutdown");
    });
}

#[test]
fn books_are_not_used_again_before_the_last_access_to_them() {
    loom::model(|| {
        let (signpost, counter) = fixture(1);
        let place = counter.enter();
        signpost.set_phase(Phase::Draining);
        let request = thread::spawn(move || drop(place));
        if counter.sum() == 0 {
            // Whoever sees zero sees all that was done under the place.
            assert_eq!(counter.finished(), 1);
        }
        request.join().unwrap();
    });
}

#[test]
fn zero_stays_zero_for_places_taken_before() {
    loom::model(|| {
        let (signpost, counter) = fixture(2);
        let place = counter.enter();
        let request = thread::spawn(move || drop(place));
        signpost.set_phase(Phase::Draining);
        if counter.sum() == 0 {
            assert_eq!(counter.sum(), 0);
        }
        request.join().unwrap();
        assert_eq!(counter.sum(), 0);
    });
}

#[test]
fn work_that_is_handed_on_is_never_out_of_sight() {
    loom::model(|| {
        let (signpost, counter) = fixture(2);
        sync::next_slot(1);
        let first = counter.enter();
        let worker = thread::spawn(move || {
            // As a job that begins another one before it ends.
            let second = counter.enter();
            drop(first);
            second
        });
        signpost.set_phase(Phase::Closing);
        assert_ne!(counter.sum(), 0);
        drop(worker.join().unwrap());
        assert_eq!(counter.sum(), 0);
    });
}

#[test]
fn a_listener_that_closes_leaves_its_connections_in_sight() {
    let mut model = loom::model::Builder::new();
    // More are changes between threads that are no longer the one that matters.
    model.preemption_bound = Some(3);
    model.check(|| {
        let books = Books::with_shards(1);
        let listener = books.listeners.enter();
        let server = thread::spawn(move || {
            let rescued = books.connections.enter();
            drop(listener);
            rescued
        });
        books.signpost.set_phase(Phase::Closing);
        let alive = books.alive();
        assert!(alive.listeners + alive.open() > 0, "{alive:?}");
        drop(server.join().unwrap());
        assert!(books.are_closed());
    });
}

#[test]
fn what_ends_after_the_signal_is_counted_as_finished() {
    loom::model(|| {
        let (signpost, counter) = fixture(1);
        let place = counter.enter();
        signpost.set_phase(Phase::LameDuck);
        let request = thread::spawn(move || drop(place));
        request.join().unwrap();
        assert_eq!(counter.finished(), 1);
    });
}
