//! What an operator can ask of a running rollout.

use std::time::Duration;

use zdd_core::{
    Decision, DeploymentStrategy, Observation, Outcome, Reason, RolloutError, Settings,
};

use crate::ideal::{Ideal, Simple};
use crate::timeline;

#[tokio::test(start_paused = true)]
async fn a_rollout_without_trouble_is_promoted_and_gives_the_settings_back() {
    let cluster = Ideal::with_pods(3);
    let before = cluster.workload().settings;
    let rollout = cluster.rollout("web:2");
    let story = timeline::record(&rollout.handle());
    let (report, story) = cluster.beside(async { tokio::join!(rollout.run(), story) }).await;
    let report = report.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(cluster.workload().settings, before);
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
    insta::assert_snapshot!(story);
}

#[tokio::test(start_paused = true)]
async fn pause_holds_until_resume() {
    let cluster = Ideal::with_pods(1);
    let rollout = cluster.rollout("web:2");
    let handle = rollout.handle();
    handle.pause().unwrap();
    let operator = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let set = cluster.writes();
        handle.resume().unwrap();
        set
    };
    let (report, written_while_paused) =
        cluster.beside(async { tokio::join!(rollout.run(), operator) }).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    assert!(written_while_paused.is_empty(), "{written_while_paused:?}");
}

#[tokio::test(start_paused = true)]
async fn promote_skips_the_bake_time_and_nothing_else() {
    let cluster = Ideal::with_pods(2);
    let strategy = Simple { bake: Duration::from_secs(3600) };
    let rollout = cluster.rollout_by("web:2", strategy);
    let handle = rollout.handle();
    let operator = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        handle.promote().unwrap();
    };
    let started = tokio::time::Instant::now();
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), operator) }).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    let took = tokio::time::Instant::now() - started;
    assert!(took >= Duration::from_secs(2), "it converged: {took:?}");
    assert!(took < Duration::from_secs(60), "it did not bake: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn abort_restores_template_and_settings() {
    let cluster = Ideal::with_pods(4);
    let before = cluster.workload();
    let rollout = cluster.rollout("web:2");
    let handle = rollout.handle();
    let operator = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        handle.abort("wrong version").unwrap();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), operator) }).await;
    let reason = Reason::Aborted { message: "wrong version".into() };
    assert_eq!(report.unwrap().outcome, Outcome::RolledBack { reason });
    let after = cluster.workload();
    assert_eq!((after.template, after.settings), (before.template, before.settings));
    assert!(cluster.seen().pods.iter().all(|pod| pod.name.starts_with("web:1")));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_before_the_start_is_done_before_the_first_write() {
    let cluster = Ideal::with_pods(2);
    let rollout = cluster.rollout("web:2");
    rollout.handle().abort("wrong version").unwrap();
    let report = cluster.beside(rollout.run()).await.unwrap();
    let reason = Reason::Aborted { message: "wrong version".into() };
    assert_eq!(report.outcome, Outcome::RolledBack { reason });
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_obeyed_or_refused_up_to_the_very_end() {
    for millis in 0..80 {
        let cluster = Ideal::with_pods(2);
        let rollout = cluster.rollout("web:2");
        let handle = rollout.handle();
        let operator = async {
            tokio::time::sleep(Duration::from_millis(millis * 100)).await;
            handle.abort("late")
        };
        let (report, taken) = cluster.beside(async { tokio::join!(rollout.run(), operator) }).await;
        let back = matches!(report.unwrap().outcome, Outcome::RolledBack { .. });
        assert_eq!(back, taken.is_ok(), "after {millis}00 ms");
    }
}

/// The simple strategy, and an operator who aborts at the very moment at which it is done.
struct Last(std::sync::OnceLock<zdd_core::Handle>);

impl DeploymentStrategy for &'static Last {
    fn name(&self) -> &'static str {
        "last"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        let decision = Simple { bake: Duration::ZERO }.next(seen);
        if decision == Decision::Finish {
            self.0.get().unwrap().abort("at last").unwrap();
        }
        decision
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_taken_in_the_last_moment_is_obeyed() {
    static LAST: Last = Last(std::sync::OnceLock::new());
    let cluster = Ideal::with_pods(2);
    let rollout = cluster.rollout_by("web:2", &LAST);
    LAST.0.set(rollout.handle()).unwrap();
    let report = cluster.beside(rollout.run()).await.unwrap();
    let reason = Reason::Aborted { message: "at last".into() };
    assert_eq!(report.outcome, Outcome::RolledBack { reason });
}

#[tokio::test(start_paused = true)]
async fn commands_after_the_end_say_so() {
    let cluster = Ideal::with_pods(1);
    let rollout = cluster.rollout("web:2");
    let handle = rollout.handle();
    cluster.beside(rollout.run()).await.unwrap();
    assert!(handle.abort("late").is_err());
}

#[tokio::test(start_paused = true)]
async fn cancelling_gives_the_lease_back_and_the_next_run_goes_on() {
    let cluster = Ideal::with_pods(3);
    let token = tokio_util::sync::CancellationToken::new();
    let rollout = cluster.rollout("web:2").cancel_on(token.clone());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        token.cancel();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), stop) }).await;
    assert!(matches!(report, Err(RolloutError::Cancelled { .. })), "{report:?}");
    let report = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
    assert_ne!(cluster.workload().settings, Settings::default());
}
