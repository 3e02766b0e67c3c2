//! Other people, and other rollouts, at work on the same target.

use std::time::Duration;

use zdd_core::{LeaseError, Outcome, RolloutError, Superseder, Uid};

use crate::ideal::{Ideal, template};

async fn interrupted(cluster: &Ideal, by: impl FnOnce()) -> Outcome {
    let rollout = cluster.rollout("web:2");
    let other = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        by();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), other) }).await;
    report.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_foreign_template_wins_and_gets_its_settings_back() {
    let cluster = Ideal::with_pods(4);
    let before = cluster.workload().settings;
    let outcome = interrupted(&cluster, || {
        cluster.change(|snapshot| {
            let workload = snapshot.workload.as_mut().unwrap();
            workload.template = template("web:3");
            workload.generation += 1;
        });
    });
    assert_eq!(outcome.await, Outcome::Superseded { by: Superseder::Edit });
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
