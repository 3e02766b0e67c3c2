//! Settings that cannot work: each is refused with a message that says what to do, or has a known
//! meaning.

use std::{error::Error, time::Duration};

use zdd_shutdown::{Builder, HookEnd, HookError, InstallError, LameDuck, Reason, Shutdown, Stage};

use crate::{raw::within, site::ms};

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> Builder {
    Shutdown::builder()
}

/// The message of an error with those of its causes, as a program prints it.
fn chain(error: &InstallError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[track_caller]
fn assert_refused(builder: Builder, expected: &str) {
    let shown = format!("{builder:?}");
    assert_eq!(chain(&builder.embed().expect_err(&shown)), expected);
}

#[test]
fn a_budget_that_does_not_fit_is_refused() {
    let cases = [
        (
            builder().lame_duck(LameDuck::fixed(20 * SECOND)),
            "lame duck and reserves need 30.5s, raise the deadline of 30s or shorten them",
        ),
        (
            builder().close_reserve(20 * SECOND).hooks_reserve(20 * SECOND),
            "lame duck and reserves need 40.5s, raise the deadline of 30s or shorten them",
        ),
        (
            builder().lame_duck(LameDuck::adaptive(2 * SECOND, SECOND)),
            "lame duck minimum 2s is longer than its maximum 1s",
        ),
        (
            builder().quiet(20 * SECOND),
            "quiet of 20s does not fit, the deadline leaves 19.5s for it; shorten it or raise the deadline",
        ),
        (
            builder().sweep(60 * SECOND),
            "sweep of 60s does not fit, the deadline leaves 24.5s for it; shorten it or raise the deadline",
        ),
        (
            builder().deadline(2 * SECOND).slow_client(3 * SECOND),
            "slow_client of 3s does not fit, the deadline leaves 1.5s for it; shorten it or raise the deadline",
        ),
        (
            builder().termination_grace(5 * SECOND).pre_stop(5 * SECOND),
            "termination grace of 5s minus preStop of 5s leaves no time to drain, raise terminationGracePeriodSeconds",
        ),
    ];
    for (builder, expected) in cases {
        assert_refused(builder, &format!("time budget does not work: {expected}"));
    }
}

#[test]
fn a_budget_that_only_the_pod_makes_too_small_is_shortened_and_said() {
    let shutdown = builder()
        .lame_duck(LameDuck::fixed(15 * SECOND))
        .slow_client(20 * SECOND)
        .termination_grace(20 * SECOND)
        .embed()
        .unwrap();
    let warnings: Vec<_> = shutdown.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "deadline of 30s does not fit the pod's termination grace, using 17s; \
             set terminationGracePeriodSeconds to at least 33",
            "lame duck of up to 15s does not fit the deadline, using 9.7s",
            "slow_client of 20s does not fit the deadline, using 3.4s",
        ]
    );
    assert_eq!(shutdown.remaining(), 17 * SECOND);
}

#[test]
fn durations_of_zero_are_refused_where_they_would_cut_everybody() {
    for (builder, name) in [
        (builder().first_request_grace(Duration::ZERO), "first_request_grace"),
        (builder().slow_client(Duration::ZERO), "slow_client"),
        (builder().pong_cap(Duration::ZERO), "pong_cap"),
    ] {
        assert_refused(builder, &format!("{name} must not be zero"));
    }
    assert_refused(
        builder().deadline(Duration::ZERO),
        "time budget does not work: deadline of 0ns is shorter than 100ms, give the drain some time",
    );
}

#[tokio::test]
async fn durations_of_zero_elsewhere_mean_at_once() {
    let shutdown = builder()
        .lame_duck(LameDuck::NONE)
        .quiet(Duration::ZERO)
        .sweep(Duration::ZERO)
        .close_reserve(Duration::ZERO)
        .hooks_reserve(Duration::ZERO)
        .pre_stop(Duration::ZERO)
        .embed()
        .unwrap();
    shutdown.readiness().mark_ready();
    shutdown
        .on_shutdown(Stage::Http, "polled once", async {})
        .unwrap()
        .timeout(Duration::ZERO)
        .required();
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(report.took < SECOND, "{report}");
}

#[test]
fn durations_that_cannot_be_meant_are_refused() {
    let max = Duration::MAX;
    for (builder, name) in [
        (builder().first_request_grace(max), "first_request_grace"),
        (builder().slow_client(max), "slow_client"),
        (builder().pong_cap(max), "pong_cap"),
        (builder().sweep(max), "sweep"),
        (builder().quiet(max), "quiet"),
        (builder().pre_stop(max), "pre_stop"),
        (builder().pre_stop(max).termination_grace(max), "pre_stop"),
        (builder().termination_grace(max), "termination_grace"),
    ] {
        assert_refused(builder, &format!("{name} of {max:?} is longer than a day, check its unit"));
    }
    for builder in [
        builder().close_reserve(max),
        builder().hooks_reserve(max),
        builder().lame_duck(LameDuck::fixed(max)),
        builder().deadline(max),
    ] {
        let shown = format!("{builder:?}");
        let refused = builder.embed().expect_err(&shown);
        assert!(matches!(refused, InstallError::Budget(_)), "{shown}: {refused:?}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_named_with_its_value() {
    let builder =
        builder().from_lookup(|name| (name == "ZDD_SHUTDOWN_DEADLINE").then(|| "forever".into()));
    assert_refused(
        builder,
        "environment does not work: environment variable ZDD_SHUTDOWN_DEADLINE is \"forever\", \
         expected a duration such as 30, 30s, 500ms or 2m",
    );
}

#[test]
fn a_second_install_is_refused() {
    let first = builder().install().unwrap();
    for _ in 0..2 {
        let second = builder().install().unwrap_err();
        assert!(matches!(second, InstallError::AlreadyInstalled), "{second:?}");
        assert_eq!(second.to_string(), "a shutdown is installed already, pass its handle instead");
    }
    // What cannot work is refused as such, and does not take the place of the first.
    assert_refused(builder().pong_cap(Duration::ZERO), "pong_cap must not be zero");
    drop(first);
    let third = builder().install();
    assert!(third.is_err(), "its handlers and threads stay for the life of the process");
}

#[tokio::test]
async fn a_hook_that_comes_after_its_stage_is_refused_by_name() {
    let shutdown = Shutdown::builder().deadline(ms(1_000)).embed().unwrap();
    shutdown.readiness().mark_ready();
    let handle = shutdown.handle();
    let (tell, told) = tokio::sync::oneshot::channel();
    shutdown
        .on_shutdown(Stage::Outbox, "outer", async move {
            let late = handle.on_shutdown(Stage::Outbox, "late", async {}).map(drop);
            let next = handle.on_shutdown(Stage::Database, "next", async {}).map(drop);
            tell.send((late, next)).unwrap();
        })
        .unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    let (late, next) = told.await.unwrap();
    let expected = HookError::StageOver { stage: Stage::Outbox, name: "late".into() };
    assert_eq!(late, Err(expected));
    assert_eq!(
        late.unwrap_err().to_string(),
        "hook late came too late for stage outbox, register it before the shutdown"
    );
    assert_eq!(next, Ok(()), "a later stage is still open");
    assert_eq!(report.hooks.last().unwrap().name, "next");
}

#[tokio::test]
async fn a_hook_without_end_is_cut_at_the_deadline() {
    let shutdown = Shutdown::builder().deadline(ms(500)).embed().unwrap();
    shutdown
        .on_shutdown(Stage::Database, "pool", std::future::pending::<()>())
        .unwrap()
        .timeout(Duration::MAX);
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    assert_eq!(report.hooks.len(), 1, "{report}");
    assert_eq!(report.hooks[0].outcome, HookEnd::TimedOut, "{report}");
}
