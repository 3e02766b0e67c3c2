//! Runs the hooks and writes the report.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    hooks::{Entry, HookFuture, Stage},
    phase::Phase,
    reason::Reason,
    report::{HookEnd, HookReport, PhaseReport, Report},
    shared::{Command, Shared, Totals, lock},
    tasks::{caught, unwound},
};

/// Longest that is waited for connections beyond the time that their clients get.
const MOMENT: Duration = Duration::from_millis(100);
/// Longest that background tasks are waited for.
const TASKS: Duration = Duration::from_secs(5);

/// Waits for the end of Closing, runs the stages, and returns the report.
pub(crate) async fn finish(shared: &Shared) -> Report {
    shared.reached(Phase::Hooks).await;
    let began = shared.started().map_or_else(Instant::now, |started| started.at);
    let mut hooks = Vec::new();
    let mut failed_tasks = Vec::new();
    tokio::select! {
        // Without a watchdog nothing else ends a hook that blocks progress.
        biased;
        () = shared.reached(Phase::Forced) => {}
        () = stages(shared, began, &mut hooks, &mut failed_tasks) => {}
    }
    lock(&shared.hooks).close();
    settle(shared).await;
    shared.send(Command::HooksDone);
    shared.reached(Phase::Exited).await;
    let report = report(shared, began, hooks, failed_tasks);
    log(&report);
    report
}

/// Gives connections, which hear of the end of their time when the hooks do, the moment that
/// they need to count what they cut: the exit code depends on it.
async fn settle(shared: &Shared) {
    let end = Instant::now() + MOMENT + shared.budget.last_words();
    while shared.connections.sum() > 0 && shared.phase() == Phase::Hooks && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn stages(
    shared: &Shared,
    began: Instant,
    reports: &mut Vec<HookReport>,
    failed_tasks: &mut Vec<(String, String)>,
) {
    let end = began + shared.budget.hooks_end();
    loop {
        let next = lock(&shared.hooks).next_stage();
        let Some((stage, entries)) = next else { return };
        if stage == Stage::Consumers {
            // Concurrently: the hook of a consumer may be what stops its task.
            let tasks = join_tasks(shared, end, failed_tasks);
            let (hooks, ()) = tokio::join!(run_stage(entries, began, end), tasks);
            reports.extend(hooks);
        } else {
            reports.extend(run_stage(entries, began, end).await);
        }
    }
}

/// Waits for the background tasks, at most as long as for a hook.
async fn join_tasks(shared: &Shared, end: Instant, failed: &mut Vec<(String, String)>) {
    let limit = end.min(Instant::now() + TASKS);
    // Taken out, since a lock must not be held while waiting.
    let mut tasks = std::mem::take(&mut *lock(&shared.tasks));
    // What still runs then is aborted below.
    let _ = timeout_at(limit, tasks.join_all()).await;
    failed.extend(tasks.failures());
    for name in tasks.abort_all() {
        shared.leave_behind(|| format!("task {name}"));
    }
}

/// Runs the hooks of one stage concurrently, each in a task of its own.
async fn run_stage(entries: Vec<Entry>, began: Instant, end: Instant) -> Vec<HookReport> {
    let mut running = JoinSet::new();
    for (index, entry) in entries.into_iter().enumerate() {
        running.spawn(async move { (index, run_hook(entry, began, end).await) });
    }
    let mut reports = Vec::new();
    while let Some(joined) = running.join_next().await {
        // Panics of hooks are caught inside and nothing aborts these tasks.
        if let Ok(indexed) = joined {
            reports.push(indexed);
        }
    }
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

async fn run_hook(entry: Entry, began: Instant, end: Instant) -> HookReport {
    let Entry { stage, name, timeout, required, future, .. } = entry;
    let start = Instant::now();
    let outcome = if start >= end {
        HookEnd::Skipped
    } else {
        // A timeout may be too long to add; then the end of the stages is the limit.
        run_until(future, start.checked_add(timeout).map_or(end, |limit| limit.min(end))).await
    };
    HookReport {
        stage,
        name,
        began: start - began,
        took: Instant::now() - start,
        required,
        outcome,
    }
}

async fn run_until(mut hook: HookFuture, limit: Instant) -> HookEnd {
    let ended = timeout_at(limit, caught(hook.as_mut())).await;
    // Also when its time is over: the report names it, whatever it does when it goes.
    let dropped = unwound(|| drop(hook));
    match ended.map(|ended| ended.and_then(|outcome| dropped.map(|()| outcome))) {
        Ok(Ok(Ok(()))) => HookEnd::Done,
        Ok(Ok(Err(error))) => HookEnd::Failed(error),
        Ok(Err(panic)) => HookEnd::Failed(format!("panicked: {panic}")),
        Err(_) => HookEnd::TimedOut,
    }
}

fn report(
    shared: &Shared,
    began: Instant,
    hooks: Vec<HookReport>,
    failed_tasks: Vec<(String, String)>,
) -> Report {
    let timeline = shared.timeline();
    let phases = timeline
        .windows(2)
        .filter(|pair| pair[0].0.is_shutting_down())
        .map(|pair| PhaseReport { phase: pair[0].0, took: pair[1].1 - pair[0].1 })
        .collect();
    let Totals { finished, abandoned, refused, connections } = shared.totals();
    Report {
        reason: shared.started().map_or(Reason::Completed, |started| started.reason.clone()),
        phases,
        took: Instant::now() - began,
        deadline: shared.budget.deadline,
        finished,
        abandoned,
        refused,
        connections,
        leftovers: shared.leftovers(),
        hooks,
        failed_tasks,
        end: shared.phase(),
    }
}

fn log(report: &Report) {
    if report.is_clean() {
        tracing::info!(took = ?report.took, finished = report.finished, "shutdown clean\n{report}");
    } else {
        tracing::error!(took = ?report.took, abandoned = report.abandoned, "shutdown not clean\n{report}");
    }
}
