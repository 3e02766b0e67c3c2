//! Every interleaving of the counter's handshake, by loom.
//!
//! Loom takes sequentially consistent accesses for stronger than they are, so
//! this checks the order of the steps; that their memory orders suffice is
//! argued in the counter's own documentation.
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
    pub(crate) use loom::sync::{Arc, atomic};

    /// All threads share a shard: the harder case.
    pub(crate) fn slot() -> usize {
        0
    }
}

use counter::{Counter, Signpost};
use phase::Phase;
use sync::Arc;

fn fixture(shards: usize) -> (Arc<Signpost>, Arc<Counter>) {
    let signpost = Arc::new(Signpost::new());
    signpost.set_phase(Phase::Serving);
    let counter = Arc::new(Counter::with_shards(&signpost, shards));
    (signpost, counter)
}

#[test]
fn a_request_that_saw_the_old_phase_is_seen_by_the_drainer() {
    loom::model(|| {
        let (signpost, counter) = fixture(1);
        let request = {
            let counter = Arc::clone(&counter);
            thread::spawn(move || {
                let place = counter.enter();
                let saw = place.is_shutting_down();
                (place, saw)
            })
        };
        signpost.set_phase(Phase::Draining);
        let sum = counter.sum();
        let (_place, saw) = request.join().unwrap();
        assert!(sum == 1 || saw, "the drainer counts {sum}, the request saw no shutdown");
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
