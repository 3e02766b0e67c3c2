use super::*;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn defaults_leave_the_documented_shares() {
    let request =
        Request { termination_grace: Some(S(35)), in_cluster: true, ..Request::default() };
    let (budget, warnings) = request.resolve().unwrap();
    assert_eq!(warnings, []);
    assert_eq!(budget.deadline, S(30));
    assert_eq!(budget.lame_duck, LameDuck::adaptive(S(5), S(15)));
    assert_eq!(budget.draining_ends(), Duration::from_millis(19_500));
    assert_eq!(budget.closing_ends(), Duration::from_millis(24_500));
    assert_eq!(budget.hooks_end(), Duration::from_millis(29_500));
}

#[test]
fn outside_a_cluster_there_is_no_lame_duck() {
    assert_eq!(Request::default().resolve().unwrap().0.lame_duck, LameDuck::NONE);
}

#[test]
fn the_default_grace_caps_the_default_deadline_and_says_what_would_do() {
    let request =
        Request { termination_grace: Some(S(30)), in_cluster: true, ..Request::default() };
    let (budget, warnings) = request.resolve().unwrap();
    assert_eq!(budget.deadline, S(27));
    assert_eq!(warnings, [Warning::DeadlineCapped { asked: S(30), capped: S(27), needed: S(33) }]);
    assert!(warnings[0].to_string().contains("terminationGracePeriodSeconds to at least 33"));
}

#[test]
fn a_pod_that_says_nothing_gets_a_deadline_within_the_default_grace() {
    let request = Request { in_cluster: true, ..Request::default() };
    let (budget, warnings) = request.resolve().unwrap();
    assert_eq!((budget.deadline, warnings), (S(27), vec![]));
    assert_eq!(budget.lame_duck.min, S(5));
    assert_eq!(budget.hooks_end() - budget.closing_ends(), S(5));
}

#[test]
fn a_deadline_beyond_the_default_grace_is_warned_about_where_the_grace_is_not_known() {
    let in_pod = Request { in_cluster: true, ..Request::default() };
    for (request, deadline, needed) in [
        (Request { deadline: Some(S(28)), ..in_pod.clone() }, S(28), S(31)),
        // Who sleeps before the signal has most likely raised the grace.
        (Request { pre_stop: S(10), ..in_pod.clone() }, S(30), S(43)),
    ] {
        let (budget, warnings) = request.resolve().unwrap();
        assert_eq!(budget.deadline, deadline);
        assert_eq!(warnings, [Warning::GraceUnknown { deadline, needed }]);
        assert!(warnings[0].to_string().contains("ZDD_TERMINATION_GRACE"), "{}", warnings[0]);
    }
    let outside = Request { deadline: Some(S(60)), ..Request::default() };
    assert_eq!(outside.resolve().unwrap().1, [], "nobody sends SIGKILL there");
}

#[test]
fn limits_that_were_not_asked_for_shrink_with_the_deadline() {
    let ms = Duration::from_millis;
    let with = |deadline| Request { deadline: Some(deadline), ..Request::default() };
    let limits = |deadline| {
        let budget = with(deadline).resolve().unwrap().0;
        [
            budget.quiet,
            budget.sweep,
            budget.first_request_grace,
            budget.slow_client,
            budget.pong_cap,
        ]
    };
    assert_eq!(limits(S(30)), [S(1), S(1), ms(500), S(5), S(5)]);
    assert_eq!(limits(ms(1_200)), [ms(240); 5]);
}

#[test]
fn a_limit_that_only_the_grace_makes_too_long_is_shortened() {
    let request =
        Request { slow_client: Some(S(20)), termination_grace: Some(S(15)), ..Request::default() };
    let (budget, warnings) = request.resolve().unwrap();
    let got = Duration::from_millis(9_100);
    assert_eq!(budget.slow_client, got);
    let shortened = Warning::LimitShortened { name: "slow_client", asked: S(20), got };
    assert_eq!(warnings[1..], [shortened]);
}

#[test]
fn the_recommended_grace_needs_no_warning() {
    let request = Request { termination_grace: Some(S(35)), ..Request::default() };
    assert_eq!(request.resolve().unwrap().1, []);
}

#[test]
fn one_bound_of_the_lame_duck_leaves_the_other_where_the_deadline_allows_it() {
    let with = |deadline, min, max| {
        let request = Request {
            deadline: Some(deadline),
            lame_duck_min: min,
            lame_duck_max: max,
            ..Request::default()
        };
        request.resolve().unwrap().0.lame_duck
    };
    assert_eq!(with(S(60), None, Some(S(40))), LameDuck::adaptive(S(5), S(40)));
    assert_eq!(with(S(60), Some(S(20)), None), LameDuck::adaptive(S(20), S(20)));
    assert_eq!(with(S(8), Some(S(1)), None), LameDuck::adaptive(S(1), S(4)));
}

#[test]
fn the_pre_stop_sleep_is_not_waited_for_twice() {
    let request = Request {
        termination_grace: Some(S(60)),
        pre_stop: S(4),
        in_cluster: true,
        ..Request::default()
    };
    assert_eq!(request.resolve().unwrap().0.lame_duck, LameDuck::adaptive(S(1), S(15)));
}

#[test]
fn a_lame_duck_that_only_the_grace_makes_too_long_is_shortened() {
    let request = Request {
        lame_duck: Some(LameDuck::fixed(S(15))),
        termination_grace: Some(S(15)),
        ..Request::default()
    };
    let (budget, warnings) = request.resolve().unwrap();
    assert_eq!(budget.deadline, S(12));
    assert_eq!(budget.lame_duck.max, Duration::from_millis(6_700));
    assert_eq!(warnings.len(), 2);
}

#[test]
fn budgets_that_cannot_work_are_refused() {
    let default = Request::default();
    let with = |deadline| Request { deadline: Some(deadline), ..default.clone() };
    let too_long = |name, asked, room| BudgetError::LimitTooLong { name, asked, room };
    let cases = [
        (with(Duration::ZERO), BudgetError::DeadlineTooShort(Duration::ZERO)),
        (with(Duration::MAX), BudgetError::DeadlineTooLong(Duration::MAX)),
        (
            Request { lame_duck: Some(LameDuck::adaptive(S(2), S(1))), ..default.clone() },
            BudgetError::LameDuckReversed { min: S(2), max: S(1) },
        ),
        (
            Request { lame_duck: Some(LameDuck::fixed(S(20))), ..default.clone() },
            BudgetError::SharesExceedDeadline {
                needed: Duration::from_millis(30_500),
                deadline: S(30),
            },
        ),
        (
            Request { quiet: Some(S(20)), ..default.clone() },
            too_long("quiet", S(20), Duration::from_millis(19_500)),
        ),
        (
            Request { sweep: Some(S(25)), ..default.clone() },
            too_long("sweep", S(25), Duration::from_millis(24_500)),
        ),
        (
            // What the lame duck may take is not there for a client.
            Request {
                pong_cap: Some(S(10)),
                lame_duck: Some(LameDuck::adaptive(S(1), S(15))),
                ..default.clone()
            },
            too_long("pong_cap", S(10), Duration::from_millis(9_500)),
        ),
        (
            Request { hooks_reserve: Some(Duration::MAX), ..default.clone() },
            BudgetError::SharesExceedDeadline { needed: Duration::MAX, deadline: S(30) },
        ),
        (
            Request { termination_grace: Some(S(30)), pre_stop: S(28), ..default.clone() },
            BudgetError::GraceTooShort { grace: S(30), pre_stop: S(28) },
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(request.resolve().unwrap_err(), expected);
    }
}
