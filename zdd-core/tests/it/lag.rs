//! A watch that lags behind the cluster, by any time.

use std::time::Duration;

use zdd_core::{Outcome, Snapshot, Trouble, TroubleKind};

use crate::ideal::Ideal;

/// Lets the watch show something else for a minute, from that moment on.
async fn shown(after: Duration, edit: impl FnOnce(&mut Snapshot)) -> (Outcome, Ideal) {
    let cluster = Ideal::with_pods(4);
    let rollout = cluster.rollout("web:2");
    let lag = async {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        cluster.show(edit);
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.show_again();
        }
        cluster.show_what_is_there();
    };
    let ((), report) = cluster.beside(async { tokio::join!(lag, rollout.run()) }).await;
    (report.unwrap().outcome, cluster)
}

const MIDWAY: Duration = Duration::from_millis(2_500);

#[tokio::test(start_paused = true)]
async fn trouble_that_is_over_does_not_turn_the_rollout_back() {
    let (outcome, cluster) = shown(MIDWAY, |snapshot| {
        let pod = snapshot.pods.iter_mut().find(|pod| pod.name.starts_with("web:2")).unwrap();
        pod.trouble = Some(Trouble::new(TroubleKind::Crash, "exit code 1"));
    })
    .await;
    assert_eq!(outcome, Outcome::Promoted);
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_a_server_has_not_heard_of_is_not_deleted() {
    let (outcome, _) = shown(MIDWAY, |snapshot| snapshot.workload = None).await;
    assert_eq!(outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_the_step_is_no_edit_after_it() {
    let (outcome, cluster) = shown(Duration::ZERO, |_| {}).await;
    assert_eq!(outcome, Outcome::Promoted);
    assert_eq!(cluster.writes(), ["set-template", "restore-settings"]);
}
