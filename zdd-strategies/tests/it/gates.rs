//! Ready-made gates: pass, fail, and cannot tell.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use zdd_core::{
    GateContext, HealthGate, MetricsError, MetricsSource, Query, Sample, Trouble, TroubleKind,
    Verdict, later,
};
use zdd_strategies::Rolling;
use zdd_strategies::gates::{Available, Bound, Threshold};

use crate::scene::Scene;

enum Answer {
    Down,
    Nothing,
    Old(f64),
    Now(f64),
}

#[async_trait]
impl MetricsSource for Answer {
    async fn sample(&self, query: &Query, at: Timestamp) -> Result<Sample, MetricsError> {
        match self {
            Self::Down => Err(MetricsError::new(query, "connection refused")),
            Self::Nothing => Ok(Sample::NoData),
            Self::Old(value) => {
                Ok(Sample::new(*value, later(Timestamp::UNIX_EPOCH, Duration::ZERO)))
            }
            Self::Now(value) => Ok(Sample::new(*value, at)),
        }
    }
}

async fn verdict(answer: Answer) -> Verdict {
    let query = Query::new("error-rate", "errors / requests");
    let gate = Threshold::new(Arc::new(answer), query, Bound::AtMost(0.01));
    let scene = Scene::deployment(1);
    let target = scene.state.start.target.clone();
    gate.check(&GateContext::new(&target, &scene.snapshot, scene.now, scene.now)).await
}

#[tokio::test]
async fn a_threshold_passes_fails_and_cannot_tell() {
    assert!(matches!(verdict(Answer::Now(0.01)).await, Verdict::Pass(_)));
    assert!(matches!(verdict(Answer::Now(0.02)).await, Verdict::Fail(_)));
    for answer in [Answer::Down, Answer::Nothing, Answer::Old(0.0), Answer::Now(f64::NAN)] {
        assert!(matches!(verdict(answer).await, Verdict::Inconclusive(_)));
    }
}

#[tokio::test]
async fn available_sees_missing_and_sick_pods() {
    let gate = Available::new();
    let mut scene = Scene::deployment(2).set_by(&Rolling::default());
    let target = scene.state.start.target.clone();
    scene.pods(0, 2);
    let check = async |scene: &Scene| {
        gate.check(&GateContext::new(&target, &scene.snapshot, scene.now, scene.now)).await
    };
    assert!(matches!(check(&scene).await, Verdict::Pass(_)));
    scene.snapshot.pods[0].ready = false;
    scene.settle();
    assert_eq!(check(&scene).await, Verdict::Fail("1 of 2 pods are available".into()));
    scene.snapshot.pods[0].trouble = Some(Trouble::new(TroubleKind::Crash, "exit code 137"));
    assert!(check(&scene).await.evidence().contains("exit code 137"));
    scene.snapshot.workload = None;
    assert!(matches!(check(&scene).await, Verdict::Inconclusive(_)));
}
