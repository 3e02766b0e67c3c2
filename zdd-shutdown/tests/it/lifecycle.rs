//! Phases, hooks and reports of embedded shutdowns.

use std::time::Duration;

use zdd_shutdown::{HookEnd, Phase, Reason, Shutdown, Signal, Stage};

use crate::raw::{until, within};

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
async fn a_trigger_before_ready_runs_the_hooks_at_once() {
    let shutdown = Shutdown::builder().embed().unwrap();
    shutdown.on_shutdown(Stage::Http, "only", async {}).unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    let phases: Vec<_> = report.phases.iter().map(|phase| phase.phase).collect();
    assert_eq!(phases, [Phase::Closing, Phase::Hooks], "{report}");
    assert!(report.took < MS(500), "{report}");
    assert_eq!((report.hooks.len(), report.exit_code()), (1, 0));
}

/// A worker without HTTP may never say that it is ready.
#[tokio::test]
async fn a_job_under_a_guard_is_finished_by_a_program_that_was_never_ready() {
    let shutdown = Shutdown::builder().embed().unwrap();
    let (guard, handle) = (shutdown.guard(), shutdown.handle());
    shutdown.spawn("job", async move {
        handle.stop_accepting().await;
        // The phase that a job without one would end in.
        assert_eq!(handle.phase(), Phase::Closing);
        tokio::time::sleep(MS(50)).await;
        drop(guard);
    });
    shutdown.trigger(Signal::Terminate);
    let report = within(shutdown.finish()).await;
    assert_eq!((report.finished, report.abandoned, report.exit_code()), (1, 0, 0), "{report}");
    assert!(report.took >= MS(50) && report.failed_tasks.is_empty(), "{report}");
}

#[tokio::test]
async fn what_is_left_over_takes_nothing_off_what_has_finished() {
    let shutdown = serving();
    let (done, _left) = (shutdown.guard(), shutdown.guard());
    shutdown.trigger(Reason::Completed);
    within(shutdown.draining()).await;
    drop(done);
    let report = within(shutdown.finish()).await;
    assert_eq!((report.finished, report.abandoned), (1, 1), "{report}");
}

#[tokio::test]
async fn a_task_that_failed_long_ago_is_in_the_report() {
    let shutdown = serving();
    shutdown.spawn("early", async { boom() });
    let handle = shutdown.handle();
    shutdown.spawn("other", async move { handle.lame_duck().await });
    // Both are known to have been polled; the spawn of another one clears away what has ended.
    tokio::task::yield_now().await;
    shutdown.spawn("late", async {});
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    let failed = [("early".to_owned(), "panicked: boom".to_owned())];
    assert_eq!((report.failed_tasks.as_slice(), report.exit_code()), (&failed[..], 0), "{report}");
}

#[tokio::test]
async fn readiness_that_flutters_does_not_hold_up_the_drain() {
    let shutdown = serving();
    let (readiness, watch) = (shutdown.readiness(), shutdown.watch());
    let flutter = std::thread::spawn(move || {
        while !watch.borrow().is_final() {
            readiness.mark_unready();
            readiness.mark_ready();
        }
    });
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    assert_eq!((report.end, report.exit_code()), (Phase::Exited, 0), "{report}");
    flutter.join().unwrap();
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

/// Here the tasks end on another thread than the one that aborts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stubborn_task_is_named_however_fast_it_is_aborted() {
    let shutdown = Shutdown::builder().deadline(MS(500)).embed().unwrap();
    shutdown.readiness().mark_ready();
    for number in 0..20 {
        shutdown.spawn(format!("stubborn {number}"), std::future::pending());
    }
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    assert_eq!((report.leftovers.len(), report.exit_code()), (20, 1), "{report}");
}

#[tokio::test]
async fn work_that_outlives_the_deadline_without_hooks_ends_forced() {
    let shutdown = serving();
    let handle = shutdown.handle();
    let _guard = handle.guard();
    shutdown.trigger(Reason::Completed);
    handle.aborting().await;
    // Nobody runs the hooks until it is too late.
    until(|| handle.phase() == Phase::Forced).await;
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
async fn work_that_may_be_dropped_ends_with_the_service() {
    let shutdown = serving();
    assert_eq!(within(shutdown.until_shutdown(async { 7 })).await, Some(7));
    let handle = shutdown.handle();
    let connecting = handle.until_shutdown(std::future::pending::<()>());
    let (dropped, ()) = within(async {
        tokio::join!(connecting, async {
            shutdown.trigger(Reason::Completed);
        })
    })
    .await;
    assert_eq!(dropped, None);
    // A loop over a queue that is never empty has to end, too.
    assert_eq!(within(shutdown.until_shutdown(async { 7 })).await, None);
    assert_eq!(shutdown.finish().await.exit_code(), 0);
}

/// Reads the phase at the moment at which it is woken.
struct Witness {
    handle: zdd_shutdown::ShutdownHandle,
    read: std::sync::OnceLock<(Phase, bool)>,
}

impl std::task::Wake for Witness {
    fn wake(self: std::sync::Arc<Self>) {
        let late = self.handle.token(Phase::Draining).is_cancelled();
        self.read.set((self.handle.phase(), late)).unwrap();
    }
}

#[tokio::test]
async fn whoever_is_woken_for_a_phase_reads_it() {
    // Not ready yet: news of an earlier phase could come late, and wake them for nothing.
    let shutdown = Shutdown::builder().deadline(MS(1_000)).embed().unwrap();
    let token = shutdown.token(Phase::Draining);
    let mut watch = shutdown.watch();
    let waits: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 3] = [
        Box::pin(token.cancelled()),
        Box::pin(shutdown.draining()),
        Box::pin(async { _ = watch.wait_for(|now| *now >= Phase::Draining).await }),
    ];
    let mut witnesses = Vec::new();
    for mut wait in waits {
        let read = std::sync::OnceLock::new();
        let witness = std::sync::Arc::new(Witness { handle: shutdown.handle(), read });
        let waker = std::task::Waker::from(witness.clone());
        assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        witnesses.push((wait, witness));
    }
    shutdown.trigger(Reason::Completed);
    for (mut wait, witness) in witnesses {
        until(|| witness.read.get().is_some()).await;
        let &(phase, late) = witness.read.get().unwrap();
        assert!(phase >= Phase::Draining, "woken in {phase}");
        assert!(late, "a token that is made now is cancelled");
        within(wait.as_mut()).await;
    }
    assert_eq!(within(shutdown.finish()).await.exit_code(), 0);
}

#[tokio::test]
async fn tokens_are_cancelled_when_their_phase_begins() {
    let shutdown = Shutdown::builder().lame_duck(zdd_shutdown::LameDuck::fixed(MS(100)));
    let shutdown = shutdown.embed().unwrap();
    shutdown.readiness().mark_ready();
    within(shutdown.watch().wait_for(|now| *now == Phase::Serving)).await.unwrap();
    let (begins, drains) = (shutdown.token(Phase::LameDuck), shutdown.token(Phase::Draining));
    assert!(shutdown.token(Phase::Serving).is_cancelled(), "that phase has begun");
    // One that is cancelled by hand is the caller's own.
    shutdown.token(Phase::LameDuck).cancel();
    assert!(!begins.is_cancelled() && !shutdown.is_shutting_down());

    shutdown.trigger(Signal::Terminate);
    within(begins.cancelled()).await;
    assert!(!drains.is_cancelled() || shutdown.phase() >= Phase::Draining);
    within(drains.cancelled()).await;
    assert!(shutdown.phase() >= Phase::Draining);
    assert!(shutdown.token(Phase::Draining).is_cancelled(), "made too late, and cancelled");
    assert_eq!(within(shutdown.finish()).await.exit_code(), 0);
}
