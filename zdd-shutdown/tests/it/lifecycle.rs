//! Phases, hooks and reports of embedded shutdowns.

use std::time::Duration;

use zdd_shutdown::{HookEnd, HookError, InstallError, LameDuck, Phase, Reason, Shutdown, Stage};

use crate::raw::within;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn boom() {
    panic!("boom")
}

fn serving() -> Shutdown {
    let shutdown = Shutdown::builder().deadline(MS(1_000)).embed().unwrap();
    shutdown.readiness().mark_ready();
    shutdown
}

#[tokio::test]
async fn an_idle_program_exits_clean_and_reports_every_phase() {
    let shutdown = serving();
    assert!(shutdown.trigger(Reason::Completed));
    assert!(!shutdown.trigger(Reason::Requested("again".into())));
    let report = shutdown.finish().await;
    let phases: Vec<_> = report.phases.iter().map(|phase| phase.phase).collect();
    assert_eq!(phases, [Phase::Draining, Phase::Closing, Phase::Hooks]);
    assert_eq!(report.reason, Reason::Completed);
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[tokio::test]
async fn a_guard_holds_up_the_hooks() {
    let shutdown = serving();
    let handle = shutdown.handle();
    let guard = handle.guard();
    let watched = handle.clone();
    shutdown
        .on_shutdown(Stage::Database, "pool", async move {
            assert_eq!(watched.phase(), Phase::Hooks);
            drop(guard);
        })
        .unwrap();
    // The guard sits in the hook, so that only the end of Closing frees it.
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    assert_eq!((report.abandoned, report.exit_code()), (1, 1), "{report}");
    assert_eq!(report.hooks[0].outcome, HookEnd::Done);
}

#[tokio::test]
async fn stages_run_in_order_and_hooks_of_a_stage_at_once() {
    let shutdown = serving();
    let (log, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    for (stage, name) in [
        (Stage::Telemetry, "otel"),
        (Stage::Database, "pool"),
        (Stage::Custom(450), "between"),
        (Stage::Outbox, "outbox"),
        (Stage::Http, "http"),
    ] {
        let log = log.clone();
        shutdown.on_shutdown(stage, name, async move { log.send(name).unwrap() }).unwrap();
    }
    for name in ["left", "right"] {
        let both = both.clone();
        // Each waits for the other: in sequence, both would time out.
        shutdown.on_shutdown(Stage::Cache, name, async move { _ = both.wait().await }).unwrap();
    }
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    drop(log);
    let mut order = Vec::new();
    while let Some(line) = lines.recv().await {
        order.push(line);
    }
    assert_eq!(order, ["http", "outbox", "pool", "between", "otel"]);
    assert!(report.hooks.iter().all(|hook| hook.outcome == HookEnd::Done), "{report}");
}

#[tokio::test]
async fn hooks_that_panic_hang_or_fail_do_not_keep_the_next_from_running() {
    let shutdown = serving();
    shutdown.on_shutdown(Stage::Http, "panics", async { boom() }).unwrap();
    shutdown
        .on_shutdown(Stage::Consumers, "hangs", std::future::pending::<()>())
        .unwrap()
        .timeout(MS(50));
    shutdown.on_shutdown(Stage::Outbox, "fails", async { Err("disk full") }).unwrap();
    shutdown.on_shutdown_blocking(Stage::Cache, "blocks", boom).unwrap();
    shutdown.on_shutdown(Stage::Telemetry, "last", async {}).unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    let outcomes: Vec<_> = report.hooks.iter().map(|hook| hook.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            HookEnd::Failed("panicked: boom".into()),
            HookEnd::TimedOut,
            HookEnd::Failed("disk full".into()),
            HookEnd::Failed("panicked: boom".into()),
            HookEnd::Done,
        ]
    );
    assert_eq!(report.exit_code(), 0, "none was required");
}

#[tokio::test]
async fn a_required_hook_that_fails_makes_the_exit_code_1() {
    let shutdown = serving();
    shutdown.on_shutdown(Stage::Outbox, "flush", async { Err("disk full") }).unwrap().required();
    shutdown.trigger(Reason::Completed);
    assert_eq!(shutdown.finish().await.exit_code(), 1);
}

#[tokio::test]
async fn a_hook_that_ignores_its_limit_is_cut_at_the_deadline() {
    let shutdown = serving();
    shutdown
        .on_shutdown(Stage::Http, "hangs", std::future::pending::<()>())
        .unwrap()
        .timeout(MS(60_000));
    shutdown.on_shutdown(Stage::Telemetry, "late", async {}).unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    assert!(report.took < MS(1_000), "{report}");
    assert_eq!(report.hooks[0].outcome, HookEnd::TimedOut);
    assert_eq!(report.hooks[1].outcome, HookEnd::Skipped);
}

#[tokio::test]
async fn a_hook_that_comes_after_its_stage_is_refused_by_name() {
    let shutdown = serving();
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
    assert_eq!(late, Err(HookError::StageOver { stage: Stage::Outbox, name: "late".into() }));
    assert_eq!(next, Ok(()), "a later stage is still open");
    assert_eq!(report.hooks.last().unwrap().name, "next");
}

#[tokio::test]
async fn a_trigger_before_ready_runs_the_hooks_at_once() {
    let shutdown = Shutdown::builder().embed().unwrap();
    shutdown.on_shutdown(Stage::Http, "only", async {}).unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    assert_eq!(report.phases.len(), 1, "{report}");
    assert_eq!((report.hooks.len(), report.exit_code()), (1, 0));
}

#[tokio::test]
async fn a_failing_critical_task_begins_the_shutdown_and_the_exit_code_is_1() {
    for (case, error) in [
        ("errs", "lost lease"),
        ("panics", "panicked: boom"),
        ("ends", "ended although nothing asked it to"),
    ] {
        let shutdown = serving();
        shutdown.spawn_critical("leader", async move {
            match case {
                "errs" => Err("lost lease"),
                "panics" => panic!("boom"),
                _ => Ok(()),
            }
        });
        let report = shutdown.finish().await;
        let reason = Reason::CriticalTask { name: "leader".into(), error: error.into() };
        assert_eq!((report.reason.clone(), report.exit_code()), (reason, 1), "{case}");
    }
}

#[tokio::test]
async fn background_tasks_are_waited_for_and_the_stubborn_are_named() {
    let shutdown = Shutdown::builder().deadline(MS(600)).embed().unwrap();
    shutdown.readiness().mark_ready();
    let handle = shutdown.handle();
    shutdown.spawn("polite", async move { handle.lame_duck().await });
    shutdown.spawn("stubborn", std::future::pending());
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    assert_eq!(report.leftovers, ["task stubborn"]);
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test]
async fn work_that_outlives_the_deadline_without_hooks_ends_forced() {
    let shutdown = serving();
    let handle = shutdown.handle();
    let _guard = handle.guard();
    shutdown.trigger(Reason::Completed);
    handle.aborting().await;
    // Nobody runs the hooks until it is too late.
    while handle.phase() != Phase::Forced {
        tokio::time::sleep(MS(5)).await;
    }
    let report = shutdown.finish().await;
    assert_eq!((report.end, report.exit_code()), (Phase::Forced, 1));
}

#[tokio::test]
async fn force_cuts_what_is_in_flight() {
    let shutdown = serving();
    let _guard = shutdown.handle().guard();
    shutdown.force(Reason::Requested("enough".into()));
    let report = shutdown.finish().await;
    assert_eq!((report.end, report.exit_code()), (Phase::Forced, 1));
    assert!(report.took < MS(900), "{report}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let zero = Shutdown::builder().deadline(Duration::ZERO).embed();
    assert!(matches!(zero, Err(InstallError::Budget(_))), "{zero:?}");
    let zero = Shutdown::builder().pong_cap(Duration::ZERO).embed();
    assert!(matches!(zero, Err(InstallError::Zero("pong_cap"))), "{zero:?}");
    let unclear = Shutdown::builder()
        .from_lookup(|name| (name == "ZDD_SHUTDOWN_DEADLINE").then(|| "forever".into()))
        .embed();
    assert!(matches!(unclear, Err(InstallError::Env(_))), "{unclear:?}");
}

#[test]
fn a_second_install_is_refused() {
    let first = Shutdown::builder().install().unwrap();
    let second = Shutdown::builder().install();
    assert!(matches!(second, Err(InstallError::AlreadyInstalled)), "{second:?}");
    drop(first);
}

#[tokio::test]
async fn a_report_survives_a_round_trip_through_json() {
    let shutdown = serving();
    shutdown.on_shutdown(Stage::Custom(42), "fails", async { Err("disk full") }).unwrap();
    shutdown.trigger(Reason::Requested("test".into()));
    let report = shutdown.finish().await;
    let json = serde_json::to_string(&report).unwrap();
    let back: zdd_shutdown::Report = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (back.hooks, back.phases, back.reason),
        (report.hooks, report.phases, report.reason)
    );
    assert!(json.contains(r#""outcome":{"failed":"disk full"}"#), "{json}");
}

#[tokio::test]
async fn a_hook_without_end_is_cut_at_the_deadline() {
    let shutdown = Shutdown::builder().deadline(MS(500)).embed().unwrap();
    shutdown
        .on_shutdown(Stage::Database, "pool", std::future::pending::<()>())
        .unwrap()
        .timeout(Duration::MAX);
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    assert_eq!(report.hooks.len(), 1, "{report}");
    assert_eq!(report.hooks[0].outcome, HookEnd::TimedOut, "{report}");
}

#[test]
fn durations_that_cannot_be_meant_are_refused() {
    let builder = Shutdown::builder;
    let cases = [
        builder().first_request_grace(Duration::MAX),
        builder().slow_client(Duration::MAX),
        builder().pong_cap(Duration::MAX),
        builder().sweep(Duration::MAX),
        builder().quiet(Duration::MAX),
        builder().close_reserve(Duration::MAX),
        builder().hooks_reserve(Duration::MAX),
        builder().lame_duck(LameDuck::fixed(Duration::MAX)),
        builder().pre_stop(Duration::MAX),
        builder().pre_stop(Duration::MAX).termination_grace(Duration::MAX),
        builder().termination_grace(Duration::MAX),
        builder().deadline(Duration::MAX),
        builder().deadline(Duration::ZERO),
    ];
    for builder in cases {
        let shown = format!("{builder:?}");
        assert!(builder.embed().is_err(), "{shown}");
    }
}
