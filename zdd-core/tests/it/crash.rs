//! The driver dies; another one goes on.

use std::time::Duration;

use zdd_core::Outcome;

use crate::ideal::Ideal;

/// Kills the driver after every tenth of a second of a rollout, resumes, and compares.
#[tokio::test(start_paused = true)]
async fn wherever_the_driver_dies_the_next_one_reaches_the_same_end() {
    let reference = Ideal::with_pods(3);
    reference.beside(reference.rollout("web:2").run()).await.unwrap();
    for tenths in 0..120 {
        let cluster = Ideal::with_pods(3);
        let life = Duration::from_millis(100 * tenths);
        let first = tokio::time::timeout(life, cluster.rollout("web:2").run());
        let died = cluster.beside(first).await.is_err();
        if died {
            let report = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
            assert_eq!(report.outcome, Outcome::Promoted, "died after {life:?}");
        }
        assert_eq!(cluster.writes(), reference.writes(), "died after {life:?}");
        let (after, wanted) = (cluster.workload(), reference.workload());
        assert_eq!(after.template, wanted.template);
        assert_eq!(after.settings, wanted.settings);
        assert_eq!(after.counts, wanted.counts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_survives_the_death_of_its_driver() {
    for tenths in 0..60 {
        let cluster = Ideal::with_pods(3);
        let before = cluster.workload();
        cluster.break_image("web:2");
        let life = Duration::from_millis(100 * tenths);
        let first = tokio::time::timeout(life, cluster.rollout("web:2").run());
        let outcome = match cluster.beside(first).await {
            Ok(report) => report.unwrap().outcome,
            Err(_) => cluster.beside(cluster.rollout("web:2").run()).await.unwrap().outcome,
        };
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "died after {life:?}: {outcome:?}");
        assert_eq!(cluster.workload().template, before.template);
        assert_eq!(cluster.workload().settings, before.settings);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_has_ended_is_told_and_not_begun_again() {
    let cluster = Ideal::with_pods(2);
    cluster.break_image("web:2");
    let first = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
    let writes = cluster.writes();
    let again = cluster.beside(cluster.rollout("web:2").run()).await.unwrap();
    assert_eq!(again.outcome, first.outcome);
    assert_eq!(cluster.writes(), writes);
    // Under another id it is another rollout.
    let other = cluster.rollout("web:2").id(zdd_core::RolloutId::new("other"));
    cluster.beside(other.run()).await.unwrap();
    assert!(cluster.writes().len() > writes.len());
}
