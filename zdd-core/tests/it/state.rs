//! The transition function: every event in every phase.

use proptest::prelude::*;
use serde_json::json;
use zdd_core::{
    Baseline, Change, Command, Entry, Event, Milestone, Outcome, Phase, Reason, Settings, Start,
    State, Step,
};

use crate::ideal::{epoch, template};

fn start() -> Start {
    // The public way to make one is to read it: that is what a resuming driver does.
    let baseline = serde_json::to_value(Baseline::new(template("web:1"), Settings::default()));
    serde_json::from_value(json!({
        "rollout": "r1",
        "target": { "kind": "Deployment", "namespace": "default", "name": "web" },
        "uid": "uid-1",
        "strategy": "simple",
        "change": Change::image("web", "web:2"),
        "template": template("web:2"),
        "baseline": baseline.unwrap(),
    }))
    .unwrap()
}

fn entry(event: Event) -> Entry {
    Entry::new("2026-01-01T00:00:00Z".parse().unwrap(), epoch(1), event)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Started(Box::new(start()))),
        Just(Event::Adopted),
        Just(Event::Commanded(Command::Pause)),
        Just(Event::Commanded(Command::Resume)),
        Just(Event::Commanded(Command::Promote)),
        Just(Event::Intended(Step::Pause)),
        Just(Event::Intended(Step::Resume)),
        Just(Event::Verified),
        Just(Event::Withdrawn),
        Just(Event::Reached(Milestone::new("complete"))),
        Just(Event::RollbackStarted(Reason::Aborted { message: String::new() })),
        Just(Event::Finished(Outcome::Promoted)),
    ]
}

proptest! {
    #[test]
    fn replay_of_what_was_accepted_gives_the_same_state(events in prop::collection::vec(event(), 0..40)) {
        let mut log = vec![entry(Event::Started(Box::new(start())))];
        let mut state = State::begin(&log[0]).unwrap();
        for event in events {
            let before = state.clone();
            let next = entry(event);
            match state.apply(&next) {
                Ok(()) => log.push(next),
                Err(_) => prop_assert_eq!(&state, &before, "a refused event changes nothing"),
            }
        }
        let text = serde_json::to_string(&log).unwrap();
        let read: Vec<Entry> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(State::replay(&read).unwrap().unwrap(), state);
    }

    #[test]
    fn the_end_is_the_end(events in prop::collection::vec(event(), 1..10)) {
        let mut state = State::begin(&entry(Event::Started(Box::new(start())))).unwrap();
        state.apply(&entry(Event::Finished(Outcome::Promoted))).unwrap();
        for event in events {
            prop_assert!(state.apply(&entry(event)).is_err());
            prop_assert_eq!(&state.phase, &Phase::Finished(Outcome::Promoted));
        }
    }
}

#[test]
fn an_older_driver_cannot_write_after_a_newer_one() {
    let mut state = State::begin(&entry(Event::Started(Box::new(start())))).unwrap();
    let mut adopted = entry(Event::Adopted);
    adopted.epoch = epoch(2);
    state.apply(&adopted).unwrap();
    assert!(state.apply(&entry(Event::Adopted)).is_err());
}

#[test]
fn a_journal_that_does_not_begin_at_the_start_is_refused() {
    assert!(State::replay(&[entry(Event::Verified)]).is_err());
    assert_eq!(State::replay(&[]).unwrap(), None);
}

#[test]
fn the_way_back_forgets_milestones_and_remembers_a_pause_that_may_have_happened() {
    let mut state = State::begin(&entry(Event::Started(Box::new(start())))).unwrap();
    state.apply(&entry(Event::Reached(Milestone::new("complete")))).unwrap();
    state.apply(&entry(Event::Intended(Step::Pause))).unwrap();
    let reason = Reason::Aborted { message: String::new() };
    state.apply(&entry(Event::RollbackStarted(reason))).unwrap();
    assert!(state.milestones.is_empty());
    assert!(state.paused);
    assert_eq!(state.pending, None);
}
