use proptest::prelude::*;

use super::*;
use crate::budget::Request;

const S: fn(u64) -> Duration = Duration::from_secs;

/// Deadline 30 s, lame duck 5 to 15 s, 5 s each for closing and hooks.
fn budget() -> Budget {
    let request = Request {
        deadline: Some(S(30)),
        termination_grace: Some(S(35)),
        in_cluster: true,
        ..Request::default()
    };
    let (budget, warnings) = request.resolve().unwrap();
    assert_eq!(warnings, []);
    budget
}

fn no_lame_duck() -> Budget {
    Request::default().resolve().unwrap().0
}

fn busy() -> Facts {
    Facts { in_flight: 1, connections: 1, listeners: 1, quiet_for: Duration::ZERO }
}

fn quiet() -> Facts {
    Facts { in_flight: 0, connections: 1, listeners: 1, quiet_for: S(60) }
}

/// Feeds a script and returns the phase after each line.
#[track_caller]
fn check(budget: &Budget, script: &[(u64, Input, Phase)]) {
    let mut state = State::Starting;
    for (line, (at, input, expected)) in script.iter().enumerate() {
        state = state.apply(budget, Duration::from_millis(*at), *input);
        assert_eq!(state.phase(), *expected, "line {line}: {input:?} at {at} ms");
    }
}

use Input::{Force, HooksDone, Observe, Ready, Trigger};

#[test]
fn quiet_traffic_ends_the_lame_duck_at_its_minimum() {
    check(
        &budget(),
        &[
            (0, Ready, Phase::Serving),
            (1_000, Trigger(Traffic::Moves), Phase::LameDuck),
            (5_999, Observe(quiet()), Phase::LameDuck),
            (6_000, Observe(quiet()), Phase::Draining),
            // Its clients are told to leave in the second that the sweep takes.
            (6_999, Observe(quiet()), Phase::Draining),
            (7_000, Observe(quiet()), Phase::Closing),
            (7_020, Observe(Facts { listeners: 1, ..Facts::default() }), Phase::Closing),
            (7_030, Observe(Facts::default()), Phase::Hooks),
            (7_040, HooksDone, Phase::Exited),
        ],
    );
}

#[test]
fn clients_that_come_again_when_told_to_leave_keep_the_listener_open() {
    let again = Facts { quiet_for: Duration::from_millis(200), ..quiet() };
    check(
        &budget(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::LameDuck),
            (5_000, Observe(quiet()), Phase::Draining),
            (6_100, Observe(again), Phase::Draining),
            (6_900, Observe(Facts { quiet_for: S(1), ..quiet() }), Phase::Closing),
        ],
    );
}

#[test]
fn without_connections_a_quiet_drain_does_not_wait_for_the_sweep() {
    check(
        &budget(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::LameDuck),
            (5_000, Observe(quiet()), Phase::Draining),
            (5_010, Observe(Facts { connections: 0, ..quiet() }), Phase::Closing),
        ],
    );
}

#[test]
fn arriving_traffic_keeps_the_lame_duck_until_its_maximum() {
    check(
        &budget(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::LameDuck),
            (14_999, Observe(busy()), Phase::LameDuck),
            (15_000, Observe(busy()), Phase::Draining),
            (19_499, Observe(busy()), Phase::Draining),
            (19_500, Observe(busy()), Phase::Closing),
            (24_499, Observe(busy()), Phase::Closing),
            (24_500, Observe(busy()), Phase::Hooks),
            (29_999, Observe(busy()), Phase::Hooks),
            (30_000, Observe(busy()), Phase::Forced),
        ],
    );
}

#[test]
fn a_long_request_keeps_the_listener_open_while_traffic_moves() {
    let long = Facts { in_flight: 1, ..quiet() };
    check(
        &budget(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::LameDuck),
            (5_000, Observe(long), Phase::Draining),
            (12_000, Observe(long), Phase::Draining),
            (12_001, Observe(quiet()), Phase::Closing),
        ],
    );
}

#[test]
fn without_a_load_balancer_the_listener_closes_after_the_sweep() {
    check(
        &no_lame_duck(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::Draining),
            (999, Observe(busy()), Phase::Draining),
            (1_000, Observe(busy()), Phase::Closing),
        ],
    );
}

#[test]
fn an_idle_process_without_a_load_balancer_ends_at_once() {
    check(
        &no_lame_duck(),
        &[
            (0, Ready, Phase::Serving),
            (0, Trigger(Traffic::Moves), Phase::Draining),
            (1, Observe(Facts::default()), Phase::Closing),
            (2, Observe(Facts::default()), Phase::Hooks),
        ],
    );
}

#[test]
fn an_interrupt_skips_the_lame_duck() {
    check(&budget(), &[(0, Ready, Phase::Serving), (0, Trigger(Traffic::Stays), Phase::Draining)]);
}

#[test]
fn a_trigger_before_ready_leads_nobody_away_and_waits_for_no_listener() {
    check(
        &budget(),
        &[
            (0, Trigger(Traffic::Moves), Phase::Closing),
            (0, Observe(Facts { listeners: 1, ..Facts::default() }), Phase::Hooks),
            (1, Ready, Phase::Hooks),
            (2, HooksDone, Phase::Exited),
        ],
    );
}

#[test]
fn what_has_begun_before_ready_is_finished() {
    check(
        &budget(),
        &[
            (0, Trigger(Traffic::Moves), Phase::Closing),
            (24_499, Observe(Facts { in_flight: 1, ..Facts::default() }), Phase::Closing),
            (24_499, Observe(Facts::default()), Phase::Hooks),
        ],
    );
}

#[test]
fn inputs_that_do_not_apply_change_nothing() {
    check(
        &budget(),
        &[
            (0, HooksDone, Phase::Starting),
            (0, Observe(Facts::default()), Phase::Starting),
            (0, Ready, Phase::Serving),
            (0, HooksDone, Phase::Serving),
            (99_000, Observe(Facts::default()), Phase::Serving),
            (99_000, Trigger(Traffic::Moves), Phase::LameDuck),
            (99_001, Trigger(Traffic::Stays), Phase::LameDuck),
            (99_002, HooksDone, Phase::LameDuck),
            (99_003, Force, Phase::Forced),
            (99_004, Force, Phase::Forced),
            (99_005, Ready, Phase::Forced),
        ],
    );
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (0..3usize, 0..3usize, 0..2usize, 0..3_000u64).prop_map(
        |(in_flight, connections, listeners, ms)| Facts {
            in_flight,
            connections,
            listeners,
            quiet_for: Duration::from_millis(ms),
        },
    )
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => Just(Ready),
        2 => Just(Trigger(Traffic::Moves)),
        1 => Just(Trigger(Traffic::Stays)),
        20 => any_facts().prop_map(Observe),
        2 => Just(HooksDone),
        1 => Just(Force),
    ]
}

fn any_budget() -> impl Strategy<Value = Budget> {
    (1_000..60_000u64, any::<bool>()).prop_map(|(deadline, in_cluster)| {
        let deadline = Some(Duration::from_millis(deadline));
        Request { deadline, in_cluster, ..Request::default() }.resolve().unwrap().0
    })
}

proptest! {
    #[test]
    fn phases_never_go_back(budget in any_budget(), steps in prop::collection::vec((0..4_000u64, any_input()), 1..60)) {
        let (mut state, mut now) = (State::Starting, Duration::ZERO);
        for (after, input) in steps {
            now += Duration::from_millis(after);
            let next = state.apply(&budget, now, input);
            prop_assert!(next.phase() >= state.phase(), "{state:?} -> {next:?} on {input:?}");
            state = next;
        }
    }

    #[test]
    fn the_deadline_ends_every_shutdown(budget in any_budget(), steps in prop::collection::vec((1..4_000u64, any_facts()), 1..200)) {
        let mut state = State::Serving.apply(&budget, Duration::ZERO, Trigger(Traffic::Moves));
        let mut now = Duration::ZERO;
        for (after, facts) in steps {
            now += Duration::from_millis(after);
            state = state.apply(&budget, now, Observe(facts));
            if now >= budget.deadline {
                prop_assert!(state.phase().is_final(), "{state:?} at {now:?} of {:?}", budget.deadline);
            }
        }
    }

    #[test]
    fn work_is_given_up_only_when_its_time_is_over(budget in any_budget(), steps in prop::collection::vec((1..4_000u64, any_facts()), 1..200)) {
        let mut state = State::Serving.apply(&budget, Duration::ZERO, Trigger(Traffic::Moves));
        let mut now = Duration::ZERO;
        for (after, facts) in steps {
            now += Duration::from_millis(after);
            let next = state.apply(&budget, now, Observe(facts));
            if state.phase() == Phase::Closing && next.phase() == Phase::Hooks && facts.in_flight > 0 {
                prop_assert!(now >= budget.closing_ends());
            }
            state = next;
        }
    }

    #[test]
    fn every_phase_has_its_share(budget in any_budget()) {
        prop_assert!(budget.lame_duck.min <= budget.lame_duck.max);
        prop_assert!(budget.lame_duck.max <= budget.draining_ends());
        prop_assert!(budget.draining_ends() < budget.closing_ends());
        prop_assert!(budget.closing_ends() < budget.hooks_end());
        prop_assert!(budget.hooks_end() < budget.deadline);
    }
}
