//! The counter and its signpost. Here and not in their module, which the loom
//! tests include whole.

use std::sync::Arc;

use crate::{
    counter::{Counter, Signpost},
    phase::Phase,
};

fn counter(shards: usize) -> (Arc<Signpost>, Counter) {
    let signpost = Arc::new(Signpost::new());
    let counter = Counter::with_shards(&signpost, shards);
    (signpost, counter)
}

#[test]
fn counts_places_until_they_are_dropped_on_any_thread() {
    let (_, counter) = counter(4);
    let places: Vec<_> = (0..10).map(|_| counter.enter()).collect();
    assert_eq!(counter.sum(), 10);
    std::thread::spawn(move || drop(places)).join().unwrap();
    assert_eq!(counter.sum(), 0);
}

#[test]
fn only_what_ends_during_the_shutdown_counts_as_finished() {
    let (signpost, counter) = counter(2);
    let early = counter.enter();
    let late = counter.enter();
    drop(early);
    signpost.set_phase(Phase::LameDuck);
    drop(late);
    assert_eq!(counter.finished(), 1);
}

#[test]
fn the_share_of_closing_responses_is_met_evenly() {
    let signpost = Signpost::new();
    signpost.set_phase(Phase::LameDuck);
    for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
        signpost.set_close_share(share);
        for window in 0..10 {
            let closing = (0..100).filter(|_| signpost.wants_close()).count();
            assert!(
                (share * 100.0 - closing as f64).abs() <= 3.0,
                "{closing} of 100 in window {window} at {share}"
            );
        }
    }
}

#[test]
fn threads_do_not_share_a_line() {
    let (_, counter) = counter(2);
    let lines = counter.lines();
    assert_ne!(lines[0], lines[1]);
}
