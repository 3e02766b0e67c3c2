//! Gates: what fails, what cannot tell, and what each leads to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use zdd_core::{
    GateContext, GatePolicy, HealthGate, OnInconclusive, Outcome, Reason, Side, Verdict,
};

use crate::ideal::Ideal;

/// Gives verdicts from a list; the last one for ever.
struct Scripted {
    verdicts: Vec<Verdict>,
    asked: Arc<AtomicUsize>,
    side: Side,
    policy: GatePolicy,
}

fn scripted(verdicts: &[Verdict]) -> Scripted {
    let asked = Arc::new(AtomicUsize::new(0));
    Scripted { verdicts: verdicts.to_vec(), asked, side: Side::New, policy: GatePolicy::default() }
}

#[async_trait]
impl HealthGate for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn check(&self, _: &GateContext<'_>) -> Verdict {
        let index = self.asked.fetch_add(1, Ordering::Relaxed);
        self.verdicts[index.min(self.verdicts.len() - 1)].clone()
    }

    fn side(&self) -> Side {
        self.side
    }

    fn policy(&self) -> GatePolicy {
        self.policy.clone()
    }
}

fn pass() -> Verdict {
    Verdict::Pass("well".into())
}

fn fail() -> Verdict {
    Verdict::Fail("ill".into())
}

fn unsure() -> Verdict {
    Verdict::Inconclusive("no data".into())
}

async fn outcome_under(gate: impl HealthGate + 'static) -> Outcome {
    let cluster = Ideal::with_pods(1);
    let rollout = cluster.rollout("web:2").gate(gate);
    cluster.beside(rollout.run()).await.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_failing_gate_rolls_back() {
    let outcome = outcome_under(scripted(&[fail()])).await;
    let reason = Reason::GateFailed { gate: "scripted".into(), evidence: "ill".into() };
    assert_eq!(outcome, Outcome::RolledBack { reason });
}

#[tokio::test(start_paused = true)]
async fn a_passing_gate_promotes() {
    assert_eq!(outcome_under(scripted(&[pass()])).await, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn no_data_is_not_a_pass() {
    // Two minutes of patience, then back.
    let outcome = outcome_under(scripted(&[unsure()])).await;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn no_data_is_not_a_failure_while_patience_lasts() {
    let gate = scripted(&[unsure(), unsure(), unsure(), pass()]);
    let asked = Arc::clone(&gate.asked);
    assert_eq!(outcome_under(gate).await, Outcome::Promoted);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn hold_waits_for_an_operator() {
    let mut gate = scripted(&[unsure()]);
    gate.policy.on_inconclusive = OnInconclusive::Hold;
    let cluster = Ideal::with_pods(1);
    let rollout = cluster.rollout("web:2").gate(gate);
    let handle = rollout.handle();
    let started = tokio::time::Instant::now();
    let operator = async {
        tokio::time::sleep(Duration::from_secs(7200)).await;
        handle.promote().unwrap();
    };
    let (report, ()) = cluster.beside(async { tokio::join!(rollout.run(), operator) }).await;
    assert_eq!(report.unwrap().outcome, Outcome::Promoted);
    assert!(tokio::time::Instant::now() - started >= Duration::from_secs(7200));
}

#[tokio::test(start_paused = true)]
async fn continue_goes_on_without_the_gate_after_its_patience() {
    let mut gate = scripted(&[unsure()]);
    gate.policy.on_inconclusive = OnInconclusive::Continue;
    assert_eq!(outcome_under(gate).await, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_data_does_not_end_a_run_of_failures() {
    let mut gate = scripted(&[fail(), unsure(), fail()]);
    gate.policy.failures = 2;
    let outcome = outcome_under(gate).await;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_old_side_does_not_block_its_own_hotfix() {
    let mut gate = scripted(&[fail()]);
    gate.side = Side::Old;
    assert_eq!(outcome_under(gate).await, Outcome::Promoted);
}

/// Never answers.
struct Silent;

#[async_trait]
impl HealthGate for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    async fn check(&self, _: &GateContext<'_>) -> Verdict {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_never_answers_cannot_tell() {
    let outcome = outcome_under(Silent).await;
    let Outcome::RolledBack { reason: Reason::GateFailed { evidence, .. } } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(evidence.contains("no verdict within 5s"), "{evidence}");
}

#[tokio::test(start_paused = true)]
async fn two_gates_of_one_name_are_refused() {
    let cluster = Ideal::with_pods(1);
    let rollout = cluster.rollout("web:2").gate(scripted(&[fail()])).gate(scripted(&[pass()]));
    let error = cluster.beside(rollout.run()).await.unwrap_err().to_string();
    assert!(error.contains("two gates are named scripted"), "{error}");
    assert!(cluster.writes().is_empty());
}
