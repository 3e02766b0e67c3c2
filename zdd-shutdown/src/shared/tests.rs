//! The counter and its signpost. Here and not in their module, which the loom
//! tests include whole.

use crate::{
    Shutdown,
    counter::{Books, Counter, Signpost},
    phase::Phase,
};

fn counter(shards: usize) -> (&'static Signpost, Counter) {
    let signpost: &'static Signpost = Box::leak(Box::new(Signpost::new()));
    (signpost, Counter::with_shards(signpost, shards))
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

#[test]
fn books_are_closed_when_their_last_place_was_given_back() {
    let books = Books::new();
    let place = books.listeners.enter();
    assert!(!books.are_closed());
    books.signpost.set_phase(Phase::Draining);
    drop(place);
    assert!(books.are_closed());
    books.reopen();
    assert_eq!((books.signpost.phase(), books.listeners.finished()), (Phase::Starting, 0));
}

#[test]
fn a_guard_that_outlives_its_shutdown_counts_in_no_other() {
    let old = Shutdown::builder().embed().unwrap();
    let guard = old.guard();
    let counted = old.shared.guards;
    drop(old);
    for _ in 0..100 {
        let new = Shutdown::builder().embed().unwrap();
        assert_eq!(new.shared.guards.sum(), 0);
    }
    assert_eq!(counted.sum(), 1);
    drop(guard);
}
