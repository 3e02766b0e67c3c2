//! The rolling update, decision by decision.

use std::time::Duration;

use proptest::prelude::*;
use zdd_core::{
    Amount, Command, Completion, Decision, DeploymentStrategy, Event, GatePolicy, GateRecord,
    Gating, Part, Phase, Reason, Side, Step, Trouble, TroubleKind, Verdict, WorkloadKind,
    invariant, later,
};
use zdd_strategies::{InvalidRolling, Rolling, RollingConfig, Stage};

use crate::scene::{Scene, count, template};

fn rolling(config: RollingConfig) -> Rolling {
    Rolling::new(config).unwrap()
}

fn staged() -> Rolling {
    rolling(RollingConfig::default().max_surge(3).stage(Stage::new(1, Duration::from_secs(60))))
}

#[track_caller]
fn wait(decision: Decision) -> zdd_core::Wait {
    let Decision::Wait(wait) = decision else { panic!("expected to wait: {decision:?}") };
    wait
}

#[track_caller]
fn reason(decision: Decision) -> Reason {
    let Decision::RollBack(reason) = decision else {
        panic!("expected to roll back: {decision:?}")
    };
    reason
}

#[test]
fn the_first_write_lets_no_pod_be_missing() {
    let strategy = rolling(RollingConfig::default().max_surge(2).min_ready_seconds(5));
    let Decision::Apply(Step::SetTemplate { template: set, settings }) =
        Scene::deployment(6).ask(&strategy)
    else {
        panic!("not the template");
    };
    assert_eq!(set, template("web:2"));
    assert_eq!(settings.max_surge, count(2));
    assert_eq!(settings.max_unavailable, Some(Part::ZERO));
    assert_eq!(settings.min_ready_seconds, Some(5));
}

#[test]
fn it_is_not_done_while_an_old_pod_is_an_endpoint() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(0, 2);
    let ready = scene.snapshot.services[0].ready.clone();
    scene.snapshot.services[0].ready.insert(zdd_core::Uid::new("web:1-0"));
    let waiting = wait(scene.settle_with(&strategy));
    assert_eq!(waiting.what, "waiting for the endpoints to follow");
    scene.snapshot.services[0].ready = ready;
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn the_settings_come_back_before_the_end() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    let before = scene.state.start.baseline.settings.clone();
    scene.pods(0, 2);
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
    assert_eq!(scene.workload().settings, before);
}

#[test]
fn a_workload_of_no_pods_is_done_at_once() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(0).set_by(&strategy);
    scene.settle();
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn nothing_to_change_changes_nothing() {
    let mut scene = Scene::deployment(2);
    scene.state.start.template = template("web:1");
    let before = scene.snapshot.clone();
    assert_eq!(scene.settle_with(&Rolling::default()), Decision::Finish);
    assert_eq!(scene.snapshot, before);
}

#[test]
fn one_crash_is_tolerated_and_a_second_is_not() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(2, 0);
    let mut trouble = Trouble::new(TroubleKind::Crash, "exit code 1");
    trouble.restarts = 0;
    scene.sick_pod(trouble);
    wait(scene.ask(&strategy));
    scene.snapshot.pods.last_mut().unwrap().trouble.as_mut().unwrap().restarts = 1;
    assert!(matches!(reason(scene.ask(&strategy)), Reason::PodsFailing { .. }));
}

#[test]
fn a_missing_image_is_tolerated_for_ten_seconds() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(2, 0);
    scene.sick_pod(Trouble::new(TroubleKind::Image, "not found"));
    let end = later(scene.now, Duration::from_secs(10));
    assert_eq!(wait(scene.ask(&strategy)).until, Some(end), "it wakes up when the time is over");
    scene.pass(10);
    let Reason::PodsFailing { message, .. } = reason(scene.ask(&strategy)) else { panic!() };
    assert_eq!(message, "image: not found");
}

#[test]
fn a_sick_old_pod_does_not_stop_its_own_hotfix() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(2, 1);
    let mut trouble = Trouble::new(TroubleKind::Crash, "exit code 1");
    trouble.restarts = 100;
    scene.snapshot.pods[0].trouble = Some(trouble);
    scene.pass(60);
    wait(scene.ask(&strategy));
}

#[test]
fn refused_pods_end_it_with_the_clusters_own_words() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(2, 0);
    scene.workload().replica_failure = Some("exceeded quota: pods".into());
    scene.pass(0);
    wait(scene.ask(&strategy));
    scene.pass(10);
    let message = "exceeded quota: pods".to_owned();
    assert_eq!(reason(scene.ask(&strategy)), Reason::CannotCreatePods { message });
}

#[test]
fn no_progress_ends_it_at_the_deadline_and_progress_moves_the_deadline() {
    let strategy = rolling(RollingConfig::default().progress_deadline(Duration::from_secs(100)));
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(3, 0);
    scene.pass(99);
    wait(scene.ask(&strategy));
    scene.pods(3, 1);
    scene.pass(99);
    wait(scene.ask(&strategy));
    scene.pass(1);
    assert!(matches!(reason(scene.ask(&strategy)), Reason::DeadlineExceeded { .. }));
}

#[test]
fn the_controllers_own_deadline_ends_it() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(3, 0);
    let message = "ReplicaSet has timed out progressing".to_owned();
    scene.workload().completion = Completion::DeadlineExceeded { message: message.clone() };
    assert_eq!(reason(scene.ask(&strategy)), Reason::DeadlineExceeded { message });
}

#[test]
fn a_foreign_pause_is_waited_for_and_not_undone() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.workload().paused = true;
    scene.pass(100_000);
    assert!(wait(scene.ask(&strategy)).what.contains("someone paused it"));
}

#[test]
fn an_operators_pause_stops_the_controller_and_resume_lets_it_go_on() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(3, 1);
    scene.record(Event::Commanded(Command::Pause));
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Pause));
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "paused");
    scene.record(Event::Commanded(Command::Resume));
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Resume));
}

#[test]
fn a_stage_limits_the_surge_pauses_bakes_and_widens() {
    let strategy = staged();
    let mut scene = Scene::deployment(6).set_by(&strategy);
    assert_eq!(scene.workload().settings.max_surge, count(1), "no more than the stage");
    scene.pods(6, 0);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "stage");
    scene.pods(6, 1);
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Pause));
    let baking = wait(scene.settle_with(&strategy));
    assert_eq!((&*baking.phase, baking.gates), ("bake", Gating::Open));
    scene.pass(60);
    let converging = wait(scene.settle_with(&strategy));
    assert_eq!(converging.phase, "converge");
    assert!(!scene.workload().paused);
    assert_eq!(scene.workload().settings.max_surge, count(3), "the full surge for the rest");
    scene.pods(0, 6);
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn a_stage_that_is_not_ready_does_not_bake() {
    let strategy = staged();
    let mut scene = Scene::deployment(6).set_by(&strategy);
    scene.pods(6, 1);
    scene.snapshot.pods.last_mut().unwrap().ready = false;
    scene.settle();
    scene.pass(60);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "stage");
}

#[test]
fn a_stage_does_not_bake_while_a_pod_is_missing_or_no_endpoint() {
    let strategy = staged();
    let mut scene = Scene::deployment(6).set_by(&strategy);
    scene.pods(6, 1);
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Pause));
    scene.perform(Step::Pause);
    // An old pod has gone meanwhile, and the controller may not replace it by one of its kind.
    scene.pods(4, 1);
    assert_eq!(wait(scene.ask(&strategy)).phase, "stage");
    // The new pod is ready, and proxies have not heard of it.
    scene.pods(6, 1);
    let new = scene.snapshot.pods.last().unwrap().uid.clone();
    scene.snapshot.services[0].ready.remove(&new);
    assert_eq!(wait(scene.ask(&strategy)).phase, "stage");
    scene.settle();
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "bake");
}

#[test]
fn an_operators_pause_of_what_is_complete_writes_nothing() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(0, 3);
    scene.record(Event::Commanded(Command::Pause));
    assert_eq!(wait(scene.ask(&strategy)).phase, "paused");
}

#[test]
fn a_stage_of_all_pods_is_no_stage() {
    let strategy = rolling(RollingConfig::default().stage(Stage::new(6, Duration::ZERO)));
    let mut scene = Scene::deployment(6).set_by(&strategy);
    scene.pods(5, 1);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "converge");
}

#[test]
fn a_stateful_set_stages_by_partition() {
    let strategy = staged();
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 5).set_by(&strategy);
    assert_eq!(scene.workload().settings.partition, Some(4));
    scene.pods(4, 1);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "bake");
    scene.pass(60);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "converge");
    assert_eq!(scene.workload().settings.partition, Some(0));
}

#[test]
fn a_stage_follows_a_stateful_set_that_is_scaled_down() {
    let rolling = staged();
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 6).set_by(&rolling);
    let set = scene.workload().settings.partition.unwrap();
    scene.workload().replicas = 4;
    scene.pods(4, 0);
    let Decision::Apply(Step::SetPartition { partition }) = scene.ask(&rolling) else {
        panic!("the stage has no pod any more")
    };
    assert!(partition < 4 && partition < set, "{partition}");
}

#[test]
fn a_stage_of_a_stateful_set_scaled_to_as_many_pods_ends() {
    let rolling = staged();
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 6).set_by(&rolling);
    scene.workload().replicas = 1;
    scene.pods(1, 0);
    assert_eq!(scene.ask(&rolling), Decision::Apply(Step::SetPartition { partition: 0 }));
}

#[test]
fn a_stage_keeps_the_owners_partition() {
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 6);
    let mut start = scene.state.start.clone();
    start.baseline.settings.partition = Some(5);
    let entry =
        zdd_core::Entry::new(scene.now, zdd_core::Epoch::new(1), Event::Started(Box::new(start)));
    scene.state = zdd_core::State::begin(&entry).unwrap();
    scene.workload().settings.partition = Some(5);
    let scene = scene.set_by(&staged());
    assert_eq!(scene.snapshot.workload.unwrap().settings.partition, Some(5));
}

#[test]
fn a_daemon_set_has_no_stage() {
    assert!(staged().supports(WorkloadKind::DaemonSet).unwrap_err().contains("soak"));
    assert!(Rolling::default().supports(WorkloadKind::DaemonSet).is_ok());
}

#[test]
fn a_daemon_set_has_at_most_one_pod_beside_each() {
    let surge = |percent| rolling(RollingConfig::default().max_surge(Amount::Percent(percent)));
    let refused = surge(101).supports(WorkloadKind::DaemonSet).unwrap_err();
    assert!(refused.contains("maxSurge is 101%"), "{refused}");
    assert_eq!(surge(100).supports(WorkloadKind::DaemonSet), Ok(()));
    assert_eq!(surge(101).supports(WorkloadKind::Deployment), Ok(()));
}

#[test]
fn the_soak_waits_for_time_and_gates_and_a_failure_turns_back() {
    let strategy = rolling(RollingConfig::default().soak(Duration::from_secs(300)));
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(0, 2);
    scene.gates.insert("errors".into(), GateRecord::new(Side::New, GatePolicy::default()));
    let soaking = wait(scene.settle_with(&strategy));
    assert_eq!((&*soaking.phase, soaking.gates), ("soak", Gating::Open));
    scene.pass(300);
    // The time is over, but the gate has never said that all is well.
    assert_eq!(wait(scene.settle_with(&strategy)).what, "waiting for gate errors");
    let now = scene.now;
    scene.gates.get_mut("errors").unwrap().note(now, Verdict::Fail("2%".into()));
    assert!(matches!(reason(scene.ask(&strategy)), Reason::GateFailed { .. }));
    scene.gates.get_mut("errors").unwrap().note(now, Verdict::Pass("0%".into()));
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn a_pod_that_is_replaced_after_a_long_calm_gets_its_time() {
    let strategy = rolling(RollingConfig::default().soak(Duration::from_secs(3_600)));
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(0, 3);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "soak");
    // Nothing happens for longer than the progress deadline, then a node is drained.
    scene.now = later(scene.now, Duration::from_secs(1_800));
    scene.snapshot.pods[0].ready = false;
    scene.settle();
    assert_eq!(wait(scene.ask(&strategy)).phase, "converge");
    scene.pass(599);
    assert_eq!(wait(scene.ask(&strategy)).phase, "converge");
    scene.pass(1);
    assert!(matches!(reason(scene.ask(&strategy)), Reason::DeadlineExceeded { .. }));
}

#[test]
fn edits_of_others_do_not_move_the_deadline() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(3).set_by(&strategy);
    scene.pods(3, 0);
    for replicas in [3, 4, 3, 4, 3] {
        // An annotation, or an autoscaler that cannot make up its mind.
        scene.workload().generation += 1;
        scene.workload().replicas = replicas;
        scene.pass(200);
    }
    assert!(matches!(reason(scene.ask(&strategy)), Reason::DeadlineExceeded { .. }));
}

#[test]
fn endpoints_and_pods_that_lag_together_are_not_believed() {
    let strategy = Rolling::default();
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(0, 2);
    // The status is news, the lists of pods and endpoints are from before the last old pod ended.
    let status = scene.workload().clone();
    scene.pods(1, 1);
    *scene.workload() = status;
    assert_eq!(wait(scene.ask(&strategy)).what, "waiting for news of the last pods");
    // Nor are lists in which the newest pod is not there yet.
    let status = scene.workload().clone();
    scene.pods(0, 1);
    *scene.workload() = status;
    assert_eq!(wait(scene.ask(&strategy)).what, "waiting for news of the last pods");
    scene.pods(0, 2);
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn the_way_back_leaves_pods_below_the_owners_partition_alone() {
    let strategy = Rolling::default();
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 3);
    scene.workload().settings.partition = Some(1);
    scene.state.start.baseline.settings.partition = Some(1);
    let mut scene = scene.set_by(&strategy);
    let reason = Reason::Aborted { message: String::new() };
    scene.record(Event::RollbackStarted(reason));
    let Decision::Apply(back) = strategy.unwind(&scene.seen()) else { panic!("no way back") };
    scene.perform(back);
    scene.pods(3, 0);
    // The owner keeps an older template on the first pod, and that pod is not ready.
    for (ordinal, pod) in scene.snapshot.pods.iter_mut().enumerate() {
        pod.name = format!("web-{ordinal}");
    }
    scene.snapshot.pods[0].revision = Some(zdd_core::RevisionHash::new("web:0"));
    scene.snapshot.pods[0].ready = false;
    scene.settle();
    assert!(matches!(strategy.unwind(&scene.seen()), Decision::Wait(_)));
    // One that the controller waits for is deleted, the first above the partition too.
    for ordinal in [2, 1] {
        scene.snapshot.pods[ordinal].revision = Some(zdd_core::RevisionHash::new("web:2"));
        scene.snapshot.pods[ordinal].ready = false;
        scene.settle();
        let Decision::Apply(Step::DeletePod { name, .. }) = strategy.unwind(&scene.seen()) else {
            panic!("the broken pod blocks the way back")
        };
        assert_eq!(name, format!("web-{ordinal}"));
    }
}

#[test]
fn a_stateful_set_that_may_lack_several_pods_lacks_one_meanwhile() {
    let strategy = Rolling::default();
    let mut scene = Scene::new(WorkloadKind::StatefulSet, 6);
    scene.workload().settings.max_unavailable = Some(3.into());
    scene.state.start.baseline.settings.max_unavailable = Some(3.into());
    let mut scene = scene.set_by(&strategy);
    assert_eq!(scene.workload().settings.max_unavailable, Some(1.into()));
    scene.pods(0, 6);
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
    assert_eq!(scene.workload().settings.max_unavailable, Some(3.into()));
    // So it is on the way back, whatever someone has set in the meantime.
    scene.record(Event::RollbackStarted(Reason::Aborted { message: String::new() }));
    let Decision::Apply(back) = strategy.unwind(&scene.seen()) else { panic!("no way back") };
    assert_eq!(invariant::check(&back, &scene.seen()), Ok(()));
    scene.perform(back);
    assert_eq!(scene.workload().settings.max_unavailable, Some(1.into()));
}

#[test]
fn a_stage_that_grew_while_it_was_paused_is_filled() {
    let stage = Stage::new("50%".parse::<Part>().unwrap(), Duration::from_secs(60));
    let strategy = rolling(RollingConfig::default().stage(stage));
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.pods(2, 1);
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Pause));
    scene.perform(Step::Pause);
    // An autoscaler doubles the pods before the stage is ready; the controller is stopped.
    scene.workload().replicas = 4;
    scene.pods(4, 1);
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Resume));
    scene.perform(Step::Resume);
    assert_eq!(wait(scene.ask(&strategy)).phase, "stage");
    scene.pods(3, 2);
    assert_eq!(scene.ask(&strategy), Decision::Apply(Step::Pause));
}

#[test]
fn promote_skips_bake_and_soak_but_not_convergence() {
    let strategy = rolling(RollingConfig::default().soak(Duration::from_secs(300)));
    let mut scene = Scene::deployment(2).set_by(&strategy);
    scene.record(Event::Commanded(Command::Promote));
    scene.pods(1, 1);
    assert_eq!(wait(scene.settle_with(&strategy)).phase, "converge");
    scene.pods(0, 2);
    assert_eq!(scene.settle_with(&strategy), Decision::Finish);
}

#[test]
fn settings_without_a_chance_are_refused() {
    let config = RollingConfig::default;
    assert_eq!(Rolling::new(config().max_surge(0)).unwrap_err(), InvalidRolling::NoSurge);
    let empty = Stage::new(0, Duration::ZERO);
    assert_eq!(Rolling::new(config().stage(empty)).unwrap_err(), InvalidRolling::EmptyStage);
    let no_time = config().progress_deadline(Duration::ZERO);
    assert_eq!(Rolling::new(no_time).unwrap_err(), InvalidRolling::NoTime);
}

#[test]
fn a_drain_is_rounded_up_to_whole_seconds_of_grace() {
    let strategy = rolling(RollingConfig::default().drain(Duration::from_millis(9_500)));
    assert_eq!(strategy.drain_seconds(), Some(10));
}

proptest! {
    /// Whatever the cluster looks like, forward or back, no step breaks a safety rule.
    #[test]
    fn no_step_breaks_a_safety_rule(
        kind in prop_oneof![
            Just(WorkloadKind::Deployment), Just(WorkloadKind::StatefulSet), Just(WorkloadKind::DaemonSet)
        ],
        replicas in 0_u32..12,
        (old, new) in (0_u32..12, 0_u32..12),
        (set, back, paused, ours, unready) in any::<(bool, bool, bool, bool, bool)>(),
        surge in prop_oneof![(1_u32..8).prop_map(Amount::Count), Just("50%".parse().unwrap()), Just("250%".parse().unwrap())],
        stage in prop::option::of((1_u32..5).prop_map(|first| Stage::new(first, Duration::ZERO))),
    ) {
        let mut config = RollingConfig::default().max_surge(surge);
        config.stage = stage.filter(|_| kind != WorkloadKind::DaemonSet);
        let strategy = rolling(config);
        let mut scene = Scene::new(kind, replicas);
        if set {
            scene = scene.set_by(&strategy);
        }
        if back {
            scene.record(Event::RollbackStarted(Reason::Aborted { message: String::new() }));
        }
        scene.pods(old, new);
        scene.state.paused = ours;
        scene.workload().paused = paused;
        if unready && let Some(pod) = scene.snapshot.pods.first_mut() {
            pod.ready = false;
            scene.settle();
        }
        for _ in 0..6 {
            let seen = scene.seen();
            let decision = match seen.state().phase {
                Phase::RollingBack(_) => strategy.unwind(&seen),
                Phase::Finished(_) | Phase::Progressing => strategy.next(&seen),
            };
            match decision {
                Decision::Apply(step) => {
                    prop_assert_eq!(invariant::check(&step, &seen), Ok(()));
                    scene.perform(step);
                }
                Decision::Reach(milestone) => scene.record(Event::Reached(milestone)),
                Decision::Finish | Decision::RollBack(_) | Decision::Wait(_) => break,
            }
        }
    }
}
