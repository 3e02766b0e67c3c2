//! What a rollout tells can be read by another program.

use std::fmt::Debug;

use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zdd_core::{
    DeploymentStrategy, HealthGate, MetricsSource, Progress, ProgressKind, Report, Verdict,
};

use crate::ideal::Ideal;

#[track_caller]
fn round_trips<T: Serialize + DeserializeOwned + Debug + PartialEq>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

#[tokio::test(start_paused = true)]
async fn progress_and_report_come_back_from_json() {
    let cluster = Ideal::with_pods(3);
    let rollout = cluster.rollout("web:2");
    let progress: futures::stream::Collect<_, Vec<Progress>> =
        rollout.handle().progress().collect();
    let run = async { tokio::join!(rollout.run(), progress) };
    let (report, progress): (_, Vec<Progress>) = cluster.beside(run).await;
    assert!(matches!(progress.last().unwrap().kind, ProgressKind::Finished { .. }));
    for event in &progress {
        round_trips(event);
    }
    let verdict = Verdict::Inconclusive("no series".to_owned());
    let judged = ProgressKind::Judged { gate: "errors".to_owned(), verdict };
    round_trips(&Progress::new(progress[0].at, progress[0].rollout.clone(), judged));

    // Times are told in milliseconds.
    let report = serde_json::to_value(report.unwrap()).unwrap();
    let again: Report = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), report);
}

/// What is chosen at run time comes in a box.
#[test]
fn boxes_of_strategies_gates_and_sources_are_such_themselves() {
    fn is_strategy(_: Option<impl DeploymentStrategy>) {}
    fn is_gate(_: Option<impl HealthGate>) {}
    fn is_source(_: Option<impl MetricsSource>) {}
    is_strategy(None::<Box<dyn DeploymentStrategy>>);
    is_gate(None::<Box<dyn HealthGate>>);
    is_source(None::<Box<dyn MetricsSource>>);
}
