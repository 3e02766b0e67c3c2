//! The printed plan.

use crate::ideal::Ideal;

#[tokio::test(start_paused = true)]
async fn a_plan_lists_steps_and_waits_and_writes_nothing() {
    let cluster = Ideal::with_pods(6);
    let plan = cluster.rollout("web:2").plan().await.unwrap();
    insta::assert_snapshot!(plan);
    assert!(cluster.writes().is_empty());
}
