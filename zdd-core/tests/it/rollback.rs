//! Turning back, refusals, and unsafe strategies.

use zdd_core::{
    Decision, DeploymentStrategy, Observation, Outcome, Part, Reason, RolloutError, Settings, Step,
};

use crate::ideal::{Fault, Ideal, template};
use crate::timeline;

#[tokio::test(start_paused = true)]
async fn failing_pods_turn_the_rollout_back() {
    let cluster = Ideal::with_pods(3);
    cluster.break_image("web:2");
    let rollout = cluster.rollout("web:2");
    let story = timeline::record(&rollout.handle());
    let (report, story) = cluster.beside(async { tokio::join!(rollout.run(), story) }).await;
    let outcome = report.unwrap().outcome;
    assert!(
        matches!(&outcome, Outcome::RolledBack { reason: Reason::PodsFailing { .. } }),
        "{outcome:?}"
    );
    assert_eq!(cluster.workload().template, template("web:1"));
    assert_eq!(cluster.seen().pods.len(), 3);
    insta::assert_snapshot!(story);
}

#[tokio::test(start_paused = true)]
async fn a_refused_first_step_ends_rolled_back_with_nothing_changed() {
    let cluster = Ideal::with_pods(3);
    let before = cluster.seen();
    cluster.fail_next(Fault::Refuse);
    let report = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
    let refused =
        matches!(&report.outcome, Outcome::RolledBack { reason: Reason::StepRefused { .. } });
    assert!(refused, "{:?}", report.outcome);
    assert_eq!(cluster.seen(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refused_way_back_says_what_is_left_to_do() {
    let cluster = Ideal::with_pods(3);
    cluster.break_image("web:2");
    let rollout = cluster.rollout("web:2");
    let refuse = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        cluster.fail_next(Fault::Refuse);
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), refuse) }).await;
    let Outcome::Stuck { remaining, .. } = report.unwrap().outcome else { panic!("not stuck") };
    assert!(remaining[0].contains("set the pod template"), "{remaining:?}");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_pause_of_the_way_back_is_waited_for() {
    let cluster = Ideal::with_pods(3);
    cluster.break_image("web:2");
    let rollout = cluster.rollout("web:2");
    let pause = |paused| {
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            workload.paused = paused;
            workload.generation += 1;
        });
    };
    let someone = async {
        for image in ["web:2", "web:1"] {
            while cluster.workload().template != template(image) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        pause(true);
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        let still_paused = cluster.workload().paused;
        pause(false);
        still_paused
    };
    let (report, still_paused) =
        cluster.beside(async { tokio::join!(rollout.run(), someone) }).await;
    let outcome = report.unwrap().outcome;
    assert!(still_paused, "the pause was undone");
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn failing_without_a_change_is_stuck_at_once() {
    let cluster = Ideal::with_pods(1);
    cluster.change(|snapshot| {
        let trouble = zdd_core::Trouble::new(zdd_core::TroubleKind::Crash, "exit code 1");
        snapshot.pods[0].trouble = Some(trouble);
    });
    let report = cluster.beside(cluster.rollout("web:1").run()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Stuck { .. }), "{:?}", report.outcome);
    assert!(cluster.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn writes_with_unknown_outcome_are_looked_up() {
    for fault in
        [Fault::Conflict, Fault::Unavailable, Fault::UnknownAfterEffect, Fault::UnknownBeforeEffect]
    {
        let cluster = Ideal::with_pods(2);
        cluster.fail_next(fault);
        let report = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
        assert_eq!(report.outcome, Outcome::Promoted, "{fault:?}");
        assert_eq!(cluster.writes(), ["set-template", "restore-settings"], "{fault:?}");
    }
}

/// Asks for a step that lets every pod be missing.
struct Reckless;

impl DeploymentStrategy for Reckless {
    fn name(&self) -> &'static str {
        "reckless"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        let mut settings = Settings::default();
        settings.max_unavailable = Some("100%".parse::<Part>().unwrap());
        Decision::Apply(Step::SetTemplate { template: seen.template().clone(), settings })
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_lets_pods_be_missing_is_refused_before_it_is_written_down() {
    let cluster = Ideal::with_pods(3);
    let error = cluster.beside(cluster.rollout_by("web:2", Reckless).run()).await.unwrap_err();
    assert!(matches!(error, RolloutError::Unsafe { .. }), "{error:?}");
    assert!(cluster.writes().is_empty());
}

/// Gives the settings back while old pods are still there.
struct Hasty;

impl DeploymentStrategy for Hasty {
    fn name(&self) -> &'static str {
        "hasty"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        let set = Step::SetTemplate {
            template: seen.template().clone(),
            settings: self.settings(seen.kind()),
        };
        if seen.state().template.is_none() {
            return Decision::Apply(set);
        }
        Decision::Apply(Step::RestoreSettings { settings: seen.baseline().settings.clone() })
    }
}

#[tokio::test(start_paused = true)]
async fn settings_do_not_come_back_before_everything_has_converged() {
    let cluster = Ideal::with_pods(3);
    let error = cluster.beside(cluster.rollout_by("web:2", Hasty).run()).await.unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("rule 1"), "{text}");
    assert_eq!(cluster.writes(), ["set-template"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_not_safe_any_more_is_withdrawn_and_decided_anew() {
    let cluster = Ideal::with_pods(2);
    let rollout = cluster.rollout("web:2");
    let story = timeline::record(&rollout.handle());
    let disturb = async {
        // While it bakes: the next write gives the settings back.
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        cluster.fail_next(Fault::Disturbed);
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        cluster.change(|snapshot| snapshot.pods[0].ready = true);
    };
    let (report, (), story) =
        cluster.beside(async { tokio::join!(rollout.run(), disturb, story) }).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
    assert!(story.contains("restore-settings: not any more (rule 1"), "{story}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_taken_back_again_and_again_is_given_up() {
    let cluster = Ideal::with_pods(2);
    for _ in 0..100 {
        cluster.fail_next(Fault::TakenBack);
    }
    let run = tokio::time::timeout(
        std::time::Duration::from_secs(3_600),
        cluster.beside(cluster.rollout("web:2").run()),
    );
    let report = run.await.expect("every wait is bounded").unwrap();
    let Outcome::RolledBack { reason: Reason::StepRefused { message, .. } } = report.outcome else {
        panic!("{}", report.outcome)
    };
    assert!(message.contains("something else takes it back"), "{message}");
    assert_eq!(cluster.workload().template, template("web:1"));
}

/// Marks the same milestone for ever.
struct Restless;

impl DeploymentStrategy for Restless {
    fn name(&self) -> &'static str {
        "restless"
    }

    fn next(&self, _: &Observation<'_>) -> Decision {
        Decision::Reach(zdd_core::Milestone::new("here"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_never_waits_is_stopped() {
    let cluster = Ideal::with_pods(2);
    let error = cluster.beside(cluster.rollout_by("web:2", Restless).run()).await.unwrap_err();
    assert!(matches!(error, RolloutError::Endless { .. }), "{error:?}");
    assert!(!error.is_retryable());
    let log = zdd_core::Journal::load(&cluster.journal, &crate::ideal::target()).await.unwrap();
    assert!(log.entries.len() < 200, "the journal has {} entries", log.entries.len());
}
