//! Evaluates the gates side by side, each at its own interval.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;

use crate::clock::{Clock, later};
use crate::gate::{GateContext, GateRecord, GateRecords, HealthGate, Verdict};
use crate::snapshot::Snapshot;
use crate::strategy::Gating;
use crate::target::Target;

/// The gates of one rollout, open or closed.
///
/// Evaluations run inside the driver's own future: nothing is spawned, and dropping the driver
/// ends them.
pub(super) struct Gates {
    gates: Vec<Arc<dyn HealthGate>>,
    target: Arc<Target>,
    clock: Clock,
    open_since: Option<Timestamp>,
    records: GateRecords,
    due: BTreeMap<usize, Timestamp>,
    running: FuturesUnordered<BoxFuture<'static, (usize, Verdict)>>,
}

impl Gates {
    pub(super) fn new(gates: Vec<Arc<dyn HealthGate>>, target: Target, clock: Clock) -> Self {
        Self {
            records: fresh(&gates),
            gates,
            target: Arc::new(target),
            clock,
            open_since: None,
            due: BTreeMap::new(),
            running: FuturesUnordered::new(),
        }
    }

    pub(super) fn records(&self) -> &GateRecords {
        &self.records
    }

    pub(super) fn gating(&self) -> Gating {
        if self.open_since.is_some() { Gating::Open } else { Gating::Closed }
    }

    /// Opens or closes the gates. Opening them evaluates each at once.
    pub(super) fn set(&mut self, gating: Gating, now: Timestamp) {
        match (gating, self.open_since) {
            (Gating::Open, None) => {
                self.open_since = Some(now);
                self.due = (0..self.gates.len()).map(|index| (index, now)).collect();
                let record =
                    |gate: &Arc<dyn HealthGate>| GateRecord::new(gate.side(), gate.policy());
                let named = self.gates.iter().map(|gate| (gate.name().to_owned(), record(gate)));
                self.records = named.collect();
            }
            (Gating::Closed, Some(_)) => {
                self.open_since = None;
                self.due.clear();
                self.records = fresh(&self.gates);
                self.running.clear();
            }
            (Gating::Open, Some(_)) | (Gating::Closed, None) => {}
        }
    }

    /// Starts the evaluations that are due.
    pub(super) fn start_due(&mut self, snapshot: &Arc<Snapshot>) {
        let Some(since) = self.open_since else { return };
        let now = self.clock.now();
        let due: Vec<usize> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
        for index in due {
            self.due.remove(&index);
            let gate = Arc::clone(&self.gates[index]);
            let (target, snapshot) = (Arc::clone(&self.target), Arc::clone(snapshot));
            let clock = self.clock;
            self.running.push(Box::pin(async move {
                let policy = gate.policy();
                let context = GateContext::new(&target, &snapshot, since, clock.now());
                let verdict = tokio::time::timeout(policy.timeout, gate.check(&context)).await;
                let late =
                    || Verdict::Inconclusive(format!("no verdict within {:?}", policy.timeout));
                (index, verdict.unwrap_or_else(|_| late()))
            }));
        }
    }

    /// Returns when the next evaluation is due, or a gate's patience ends.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let patience = self
            .records
            .values()
            .filter_map(|record| Some(later(record.unsure_since?, record.policy.patience)))
            .filter(|at| *at > self.clock.now());
        self.due.values().copied().chain(patience).min()
    }

    /// Waits for the next verdict; forever when no evaluation runs.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> (String, Verdict) {
        loop {
            let Some((index, verdict)) = self.running.next().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let now = self.clock.now();
            let gate = &self.gates[index];
            self.due.insert(index, later(now, gate.policy().interval));
            if let Some(record) = self.records.get_mut(gate.name()) {
                record.note(now, verdict.clone());
                return (gate.name().to_owned(), verdict);
            }
        }
    }
}

/// Records without a verdict: a gate that was never evaluated is pending, not passed.
fn fresh(gates: &[Arc<dyn HealthGate>]) -> GateRecords {
    let record = |gate: &Arc<dyn HealthGate>| GateRecord::new(gate.side(), gate.policy());
    gates.iter().map(|gate| (gate.name().to_owned(), record(gate))).collect()
}
