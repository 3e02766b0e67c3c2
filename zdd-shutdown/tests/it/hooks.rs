//! Hooks: their order, proven by the times of the report, and those that block or panic.

use std::{
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use zdd_shutdown::{HookEnd, Phase, Reason, Shutdown, Stage};

use crate::{
    raw::{Client, within},
    site::{Site, ms, quick},
};

fn boom() {
    panic!("boom")
}

fn serving() -> Shutdown {
    let shutdown = quick().embed().unwrap();
    shutdown.readiness().mark_ready();
    shutdown
}

/// The whole order, by the times that the report has.
#[tokio::test]
async fn the_report_proves_by_its_times_that_each_stage_waited_for_the_one_before() {
    let site = Site::start(quick()).await;
    let mut client = Client::connect(site.address).await;
    client.send("GET /hold HTTP/1.1\r\nhost: test\r\n\r\n").await;
    within(site.entered.notified()).await;
    // The other way round, since the order is that of the stages.
    for (stage, name) in [
        (Stage::Telemetry, "telemetry"),
        (Stage::Database, "pool"),
        (Stage::Outbox, "outbox"),
        (Stage::Consumers, "consumer"),
    ] {
        let work = async { tokio::time::sleep(ms(20)).await };
        site.handle.on_shutdown(stage, name, work).unwrap();
    }
    site.trigger();
    site.reaches(Phase::Closing).await;
    tokio::time::sleep(ms(50)).await;
    site.gate.add_permits(1);
    assert_eq!(client.response().await.unwrap().body, b"held");
    drop(client);
    let report = site.finish().await;
    assert_eq!(report.exit_code(), 0, "{report}");

    let names: Vec<_> = report.hooks.iter().map(|hook| &*hook.name).collect();
    assert_eq!(names, ["consumer", "outbox", "pool", "telemetry"]);
    let before = report.phases.iter().take_while(|phase| phase.phase < Phase::Hooks);
    let mut done: Duration = before.map(|phase| phase.took).sum();
    assert!(done >= ms(50), "the request was waited for: {report}");
    for hook in &report.hooks {
        assert!(hook.began >= done, "{} began too early: {report}", hook.name);
        assert!(hook.took >= ms(20) && hook.outcome == HookEnd::Done, "{report}");
        done = hook.began + hook.took;
    }
    assert!(report.took >= done, "{report}");
}

/// What an exporter of telemetry does: its end blocks until a task of the runtime has sent the rest.
#[tokio::test]
async fn a_blocking_hook_may_wait_for_the_only_thread_of_the_runtime() {
    let shutdown = serving();
    let (rest, mut queue) = tokio::sync::mpsc::channel::<mpsc::Sender<()>>(1);
    let exporter = async move {
        while let Some(sent) = queue.recv().await {
            tokio::time::sleep(ms(20)).await;
            sent.send(()).unwrap();
        }
    };
    let here = thread::current().id();
    let flush = move || {
        assert_ne!(thread::current().id(), here);
        let (sent, done) = mpsc::channel();
        rest.blocking_send(sent).map_err(|_| "the exporter is gone")?;
        done.recv().map_err(|_| "the rest was not sent")
    };
    shutdown.on_shutdown_blocking(Stage::Telemetry, "otel", flush).unwrap().required();
    shutdown.trigger(Reason::Completed);
    let (report, ()) = within(async { tokio::join!(shutdown.finish(), exporter) }).await;
    assert_eq!(report.hooks[0].outcome, HookEnd::Done, "{report}");
    assert!(report.hooks[0].took >= ms(20), "{report}");
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[tokio::test]
async fn a_required_hook_that_panics_makes_the_exit_code_1_and_the_next_stage_runs() {
    let shutdown = serving();
    shutdown.on_shutdown(Stage::Outbox, "panics", async { boom() }).unwrap().required();
    shutdown.on_shutdown(Stage::Telemetry, "last", async {}).unwrap();
    shutdown.trigger(Reason::Completed);
    let report = shutdown.finish().await;
    let outcomes: Vec<_> = report.hooks.iter().map(|hook| hook.outcome.clone()).collect();
    assert_eq!(outcomes, [HookEnd::Failed("panicked: boom".into()), HookEnd::Done]);
    assert_eq!(report.exit_code(), 1);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        boom();
    }
}

/// Is done at once, and panics after that.
impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test]
async fn what_panics_when_it_is_dropped_is_in_the_report() {
    let shutdown = serving();
    let endless = async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    };
    shutdown.on_shutdown(Stage::Outbox, "endless", endless).unwrap().timeout(ms(20));
    shutdown.on_shutdown(Stage::Database, "done", Bomb).unwrap();
    shutdown.spawn("task", Bomb);
    shutdown.trigger(Reason::Completed);
    let report = within(shutdown.finish()).await;
    let ends: Vec<_> =
        report.hooks.iter().map(|hook| (hook.name.as_str(), hook.outcome.clone())).collect();
    let panicked = "panicked: boom".to_owned();
    let expected = [("endless", HookEnd::TimedOut), ("done", HookEnd::Failed(panicked.clone()))];
    assert_eq!(ends, expected);
    assert_eq!(report.failed_tasks, [("task".to_owned(), panicked)]);
}
