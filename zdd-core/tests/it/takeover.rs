//! Other people, and other rollouts, at work on the same target.

use std::time::Duration;

use futures::StreamExt as _;
use zdd_core::{
    Clock, Completion, Decision, DeploymentStrategy, LeaseError, Observation, Outcome,
    ProgressKind, Report, RolloutError, Superseder, Uid,
};

use crate::ideal::{Ideal, Simple, template};

async fn interrupted(cluster: &Ideal, by: impl FnOnce()) -> Outcome {
    report(cluster, by).await.outcome
}

async fn report(cluster: &Ideal, by: impl FnOnce()) -> Report {
    let rollout = cluster.rollout("web:2");
    let other = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        by();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), other) }).await;
    report.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_template_wins_and_gets_its_settings_back() {
    let cluster = Ideal::with_pods(4);
    let before = cluster.workload().settings;
    let report = report(&cluster, || {
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            workload.template = template("web:3");
            workload.generation += 1;
        });
    });
    let report = report.await;
    assert_eq!(report.outcome, Outcome::Superseded { by: Superseder::Edit });
    // The knobs that are given back are not told of as someone's.
    assert_eq!(report.warnings, <[String; 0]>::default());
    assert_eq!(cluster.workload().template, template("web:3"));
    assert_eq!(cluster.workload().settings, before);
}

#[tokio::test(start_paused = true)]
async fn an_undo_by_hand_is_not_fought() {
    let cluster = Ideal::with_pods(4);
    let outcome = interrupted(&cluster, || {
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            workload.template = template("web:1");
            workload.generation += 1;
        });
    });
    assert_eq!(outcome.await, Outcome::Superseded { by: Superseder::Edit });
    assert_eq!(cluster.workload().template, template("web:1"));
}

#[tokio::test(start_paused = true)]
async fn deletion_ends_the_rollout() {
    let cluster = Ideal::with_pods(4);
    let outcome = interrupted(&cluster, || cluster.change(|snapshot| snapshot.workload = None));
    assert_eq!(outcome.await, Outcome::Superseded { by: Superseder::Deletion });
}

#[tokio::test(start_paused = true)]
async fn a_new_object_of_the_same_name_is_left_alone() {
    let cluster = Ideal::with_pods(4);
    let outcome = interrupted(&cluster, || {
        cluster.change(|snapshot| {
            snapshot.workload.as_mut().unwrap().uid = Uid::new("uid-2");
        });
    });
    assert_eq!(outcome.await, Outcome::Superseded { by: Superseder::Recreation });
    assert_eq!(cluster.writes(), ["set-template"]);
}

#[tokio::test(start_paused = true)]
async fn two_rollouts_of_one_target_do_not_run_at_once() {
    let cluster = Ideal::with_pods(3);
    let (first, second) = (cluster.rollout("web:2"), cluster.rollout("web:3"));
    let late = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        second.run().await
    };
    let (first, second) = cluster.beside(async { tokio::join!(first.run(), late) }).await;
    assert_eq!(first.unwrap().outcome, Outcome::Promoted);
    let Err(RolloutError::Lease { source, .. }) = second else { panic!("{second:?}") };
    assert!(matches!(*source, LeaseError::Held { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_newer_rollout_goes_back_to_what_was_proven_not_to_the_half_way_point() {
    let cluster = Ideal::with_pods(4);
    // The first rollout dies half-way.
    let half = tokio::time::timeout(Duration::from_millis(2500), cluster.rollout("web:2").run());
    assert!(cluster.beside(half).await.is_err());
    assert_eq!(cluster.workload().template, template("web:2"));
    // The second fails: what comes back is web:1.
    cluster.break_image("web:3");
    let report = cluster.beside(cluster.rollout("web:3").run()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::RolledBack { .. }), "{:?}", report.outcome);
    assert_eq!(cluster.workload().template, template("web:1"));
}

#[tokio::test(start_paused = true)]
async fn what_an_older_driver_writes_until_the_fence_is_seen() {
    let cluster = Ideal::with_pods(4);
    // The first driver has written its intent, and sleeps.
    cluster.fail_next(crate::ideal::Fault::UnknownBeforeEffect);
    let asleep = tokio::time::timeout(Duration::from_millis(50), cluster.rollout("web:2").run());
    assert!(cluster.beside(asleep).await.is_err());
    assert_eq!(cluster.writes(), [""; 0]);
    // It wakes up and writes between the second driver's checks and its fence.
    cluster.before_fence(|snapshot| {
        let workload = snapshot.workload.as_mut().unwrap();
        workload.template = template("web:2");
        workload.generation += 1;
    });
    let report = cluster.beside(cluster.rollout("web:3").run()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(cluster.workload().template, template("web:3"));
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_with_a_rollout_keeps_its_older_driver_away_before_the_first_look() {
    let cluster = Ideal::with_pods(2);
    cluster.fail_next(crate::ideal::Fault::UnknownBeforeEffect);
    let asleep = tokio::time::timeout(Duration::from_millis(50), cluster.rollout("web:2").run());
    assert!(cluster.beside(asleep).await.is_err());
    // The last write that the older driver can make.
    cluster.before_fence(|snapshot| {
        let workload = snapshot.workload.as_mut().unwrap();
        workload.template = template("web:2");
        workload.settings.max_unavailable = Some(zdd_core::Part::ZERO);
        workload.generation += 1;
    });
    let report = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert_eq!(cluster.workload().epoch, Some(crate::ideal::epoch(2)));
    assert_eq!(cluster.writes(), ["restore-settings"], "it looked before it fenced");
}

/// The simple strategy under another name, with milestones that mean something else.
struct Other;

impl DeploymentStrategy for Other {
    fn name(&self) -> &'static str {
        "other"
    }

    fn next(&self, seen: &Observation<'_>) -> Decision {
        Simple { bake: Duration::from_secs(300) }.next(seen)
    }
}

#[tokio::test(start_paused = true)]
async fn another_strategy_does_not_go_on_with_milestones_that_are_not_its_own() {
    let cluster = Ideal::with_pods(2);
    let half = tokio::time::timeout(Duration::from_millis(4_500), cluster.rollout("web:2").run());
    assert!(cluster.beside(half).await.is_err());
    let started = tokio::time::Instant::now();
    let report = cluster.beside(cluster.rollout_by("web:2", Other).run()).await.unwrap();
    assert_eq!((report.outcome, &*report.strategy), (Outcome::Promoted, "other"));
    assert!(started.elapsed() >= Duration::from_secs(300), "it bakes anew");
    // What comes back is from before both.
    let log = zdd_core::Journal::load(&cluster.journal, &crate::ideal::target()).await.unwrap();
    let zdd_core::Event::Started(start) = &log.entries[0].event else { panic!() };
    assert_eq!((&*start.strategy, &start.baseline.template), ("other", &template("web:1")));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_does_not_bake_for_days() {
    let cluster = Ideal::with_pods(2);
    let half = tokio::time::timeout(Duration::from_millis(4_500), cluster.rollout("web:2").run());
    assert!(cluster.beside(half).await.is_err());
    let behind = Clock::starting_at("2025-12-25T00:00:00Z".parse().unwrap());
    let started = tokio::time::Instant::now();
    let report = cluster.beside(cluster.rollout("web:2").clock(behind).run()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Promoted);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_knob_that_someone_else_turns_midway_stays() {
    for broken in [false, true] {
        let cluster = Ideal::with_pods(4);
        let before = cluster.workload().settings;
        if broken {
            cluster.break_image("web:2");
        }
        let outcome = interrupted(&cluster, || {
            cluster.change(|snapshot| {
                let workload = snapshot.workload.as_mut().unwrap();
                workload.settings.min_ready_seconds = Some(7);
                workload.settings.max_surge = Some("50%".parse().unwrap());
                workload.generation += 1;
            });
        });
        assert!(!matches!(outcome.await, Outcome::Superseded { .. }));
        let after = cluster.workload().settings;
        assert_eq!(after.max_unavailable, before.max_unavailable, "ours is given back");
        assert_eq!(after.min_ready_seconds, Some(7));
        if !broken {
            assert_eq!(after.max_surge, Some("50%".parse().unwrap()), "theirs is left");
        }
    }
}

/// Rolls from 4 pods to a version, while someone sets how many may be missing.
async fn loosened(image: &str, part: &str) -> Vec<String> {
    let cluster = Ideal::with_pods(4);
    cluster.break_image("web:broken");
    let rollout = cluster.rollout(image);
    let mut progress = rollout.handle().progress();
    let edit = async {
        // Its own knobs are set by then.
        while !matches!(progress.next().await.unwrap().kind, ProgressKind::StepVerified { .. }) {}
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            assert_ne!(workload.completion, Completion::Complete);
            workload.settings.max_unavailable = Some(part.parse().unwrap());
            workload.generation += 1;
        });
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), edit) }).await;
    report.unwrap().warnings
}

#[tokio::test(start_paused = true)]
async fn who_lets_pods_be_missing_midway_is_told_of() {
    let told = "someone has changed the rolling update to maxSurge 1, maxUnavailable 50%: up to 2 \
                of 4 pods may be missing until the rollout ends; set maxUnavailable to 0 to keep \
                them";
    assert_eq!(loosened("web:2", "50%").await, [told]);
    // The way back has knobs of its own, and sets them again.
    assert_eq!(loosened("web:broken", "50%").await, [told]);
    // Less than one pod.
    assert_eq!(loosened("web:2", "10%").await, <[String; 0]>::default());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_edit_of_template_and_knobs_keeps_both() {
    let cluster = Ideal::with_pods(4);
    let before = cluster.workload().settings;
    let outcome = interrupted(&cluster, || {
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            workload.template = template("web:3");
            workload.settings.max_surge = Some("50%".parse().unwrap());
            workload.generation += 1;
        });
    });
    assert_eq!(outcome.await, Outcome::Superseded { by: Superseder::Edit });
    let after = cluster.workload().settings;
    assert_eq!(after.max_surge, Some("50%".parse().unwrap()));
    assert_eq!(after.max_unavailable, before.max_unavailable);
}

/// Rolls to a bad version, and its way back is refused; returns what is left to do.
async fn stuck(cluster: &Ideal) -> Vec<String> {
    cluster.break_image("web:2");
    let rollout = cluster.rollout("web:2");
    let refuse = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.fail_next(crate::ideal::Fault::Refuse);
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), refuse) }).await;
    let Outcome::Stuck { remaining, .. } = report.unwrap().outcome else { panic!("not stuck") };
    remaining
}

#[tokio::test(start_paused = true)]
async fn after_a_stuck_rollout_the_next_one_goes_back_to_what_was_proven() {
    let cluster = Ideal::with_pods(3);
    let before = cluster.workload();
    let remaining = stuck(&cluster).await;
    let told = "give settings back (maxSurge 1, maxUnavailable 1) on Deployment default/web";
    assert_eq!(remaining.last().unwrap(), told);
    assert_eq!(cluster.workload().template, template("web:2"));
    cluster.break_image("web:3");
    let report = cluster.beside(cluster.rollout("web:3").run()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::RolledBack { .. }), "{}", report.outcome);
    let after = cluster.workload();
    assert_eq!((after.template, after.settings), (before.template, before.settings));
}

#[tokio::test(start_paused = true)]
async fn what_a_stuck_rollout_left_is_proven_once_it_is_well() {
    let cluster = Ideal::with_pods(3);
    let before = cluster.workload().settings;
    stuck(&cluster).await;
    cluster.mend_image();
    cluster.beside(tokio::time::sleep(Duration::from_secs(10))).await;
    assert!(cluster.seen().is_complete());
    cluster.break_image("web:3");
    let report = cluster.beside(cluster.rollout("web:3").run()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::RolledBack { .. }), "{}", report.outcome);
    let after = cluster.workload();
    assert_eq!((after.template, after.settings), (template("web:2"), before));
}

#[tokio::test(start_paused = true)]
async fn a_template_that_someone_set_between_two_drivers_is_what_the_way_back_leads_to() {
    let cluster = Ideal::with_pods(4);
    let before = cluster.workload().settings;
    let half = tokio::time::timeout(Duration::from_millis(2_500), cluster.rollout("web:2").run());
    assert!(cluster.beside(half).await.is_err());
    cluster.change(|snapshot| {
        let workload = snapshot.workload.as_mut().unwrap();
        workload.template = template("web:9");
        workload.generation += 1;
    });
    cluster.break_image("web:3");
    let report = cluster.beside(cluster.rollout("web:3").run()).await.unwrap();
    assert!(matches!(report.outcome, Outcome::RolledBack { .. }), "{}", report.outcome);
    assert_eq!(cluster.workload().template, template("web:9"));
    assert_eq!(cluster.workload().settings, before);
}
