//! Health gates: what must hold for a rollout to go on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::snapshot::Snapshot;
use crate::target::Target;

/// What a gate found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "every policy must decide for each verdict")]
pub enum Verdict {
    /// Not healthy, with the evidence in words.
    Fail(String),
    /// Cannot tell: no data, stale data, no answer. Neither pass nor fail.
    Inconclusive(String),
    /// Healthy, with the evidence in words.
    Pass(String),
}

impl Verdict {
    /// Returns the evidence.
    #[must_use]
    pub fn evidence(&self) -> &str {
        match self {
            Self::Fail(text) | Self::Inconclusive(text) | Self::Pass(text) => text,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(text) => write!(f, "fail: {text}"),
            Self::Inconclusive(text) => write!(f, "inconclusive: {text}"),
            Self::Pass(text) => write!(f, "pass: {text}"),
        }
    }
}

/// The side of a rollout that a gate judges.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "a rollout has two sides")]
pub enum Side {
    /// What is being rolled out: a failure rolls back.
    #[default]
    New,
    /// What was there before: a failure is reported and never stops its own hotfix.
    Old,
}

/// What a gate may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct GateContext<'a> {
    /// The workload.
    pub target: &'a Target,
    /// The newest snapshot.
    pub snapshot: &'a Snapshot,
    /// When the gates were opened: data from before this time says nothing about the new side.
    pub since: Timestamp,
    /// The present time.
    pub now: Timestamp,
}

impl<'a> GateContext<'a> {
    /// Makes a context, for tests of a gate.
    #[must_use]
    pub fn new(
        target: &'a Target,
        snapshot: &'a Snapshot,
        since: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self { target, snapshot, since, now }
    }
}

/// Judges the health of one side of a rollout.
///
/// The driver evaluates all gates side by side, each at its own interval and
/// bounded by its own timeout; an evaluation that runs out of time counts as
/// [`Verdict::Inconclusive`].
///
/// The trait is async and object-safe because a rollout holds a list of
/// different gates.
///
/// # Examples
/// ```
/// use zdd_core::{GateContext, HealthGate, Verdict};
///
/// /// Passes while the target has a ready pod of the new revision.
/// struct AnyReady;
///
/// #[async_trait::async_trait]
/// impl HealthGate for AnyReady {
///     fn name(&self) -> &str {
///         "any-ready"
///     }
///
///     async fn check(&self, context: &GateContext<'_>) -> Verdict {
///         match context.snapshot.updated().filter(|pod| pod.ready).count() {
///             0 => Verdict::Fail("no new pod is ready".into()),
///             ready => Verdict::Pass(format!("{ready} new pods are ready")),
///         }
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(note = "implement `check` with `#[async_trait]`")]
pub trait HealthGate: Send + Sync {
    /// Names the gate, for events and reasons: short, lower case, with hyphens.
    fn name(&self) -> &str;

    /// Judges.
    ///
    /// # Cancel safety
    /// The driver drops the future when time runs out or the rollout ends. Implementations must
    /// not change anything.
    async fn check(&self, context: &GateContext<'_>) -> Verdict;

    /// Names the side that the gate judges.
    fn side(&self) -> Side {
        Side::New
    }

    /// Returns how the gate is evaluated and what its verdicts lead to.
    fn policy(&self) -> GatePolicy {
        GatePolicy::default()
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<G: HealthGate + ?Sized> HealthGate for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            async fn check(&self, context: &GateContext<'_>) -> Verdict {
                (**self).check(context).await
            }

            fn side(&self) -> Side {
                (**self).side()
            }

            fn policy(&self) -> GatePolicy {
                (**self).policy()
            }
        }
    )+};
}

forward!(Arc<G>, Box<G>);

/// How a gate is evaluated and what its verdicts lead to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GatePolicy {
    /// Time between the starts of two evaluations.
    pub interval: Duration,
    /// Bound on one evaluation.
    pub timeout: Duration,
    /// Failures in a row that end the rollout.
    pub failures: u32,
    /// What to do when the gate cannot tell for longer than `patience`.
    pub on_inconclusive: OnInconclusive,
    /// How long the gate may be unable to tell.
    pub patience: Duration,
}

impl Default for GatePolicy {
    /// Every 10 s, bounded by 5 s; one failure ends the rollout; unable to tell for 2 min rolls back.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            failures: 1,
            on_inconclusive: OnInconclusive::RollBack,
            patience: Duration::from_secs(120),
        }
    }
}

/// What to do when a gate cannot tell.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else to do")]
pub enum OnInconclusive {
    /// Go on as if the gate were not there.
    Continue,
    /// Stay where the rollout is until the gate can tell or an operator decides.
    Hold,
    /// Roll back.
    RollBack,
}

/// What one gate has said since the gates were opened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GateRecord {
    /// The side it judges.
    pub side: Side,
    /// Its policy.
    pub policy: GatePolicy,
    /// The latest verdict and when it was given; `None` before the first.
    pub latest: Option<(Timestamp, Verdict)>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when it could not tell.
    pub unsure_since: Option<Timestamp>,
}

impl GateRecord {
    /// Starts a record.
    #[must_use]
    pub fn new(side: Side, policy: GatePolicy) -> Self {
        Self { side, policy, latest: None, failures: 0, unsure_since: None }
    }

    /// Takes one verdict in.
    pub fn note(&mut self, now: Timestamp, verdict: Verdict) {
        match verdict {
            Verdict::Fail(_) => {
                self.failures += 1;
                self.unsure_since = None;
            }
            // A gap in the data does not end a run of failures, or the two would hide each other.
            Verdict::Inconclusive(_) => self.unsure_since = self.unsure_since.or(Some(now)),
            Verdict::Pass(_) => {
                self.failures = 0;
                self.unsure_since = None;
            }
        }
        self.latest = Some((now, verdict));
    }
}

/// What all gates have said, by name.
pub type GateRecords = BTreeMap<String, GateRecord>;

/// What the gates' records add up to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every strategy must decide for each")]
pub enum Judgement {
    /// A gate failed, or could not tell for too long under a policy to roll back.
    Fail {
        /// The gate.
        gate: String,
        /// What it said.
        evidence: String,
    },
    /// Every gate that counts passed at its latest evaluation.
    Pass,
    /// Not every gate has a conclusive verdict.
    Pending {
        /// The first such gate.
        gate: String,
    },
}

/// Adds up the gates' records.
///
/// Gates on [`Side::Old`] are left out: a broken old side must not block its own hotfix. Failures
/// weigh more than gates that cannot tell.
#[must_use]
pub fn judge(records: &GateRecords, now: Timestamp) -> Judgement {
    let mut pending = None;
    for (name, record) in records.iter().filter(|(_, record)| record.side == Side::New) {
        let evidence = || {
            let latest = record.latest.as_ref();
            latest.map_or_else(String::new, |(_, verdict)| verdict.evidence().to_owned())
        };
        if record.failures >= record.policy.failures.max(1) {
            return Judgement::Fail { gate: name.clone(), evidence: evidence() };
        }
        let unsure = record.unsure_since.map(|since| crate::clock::elapsed(since, now));
        let overdue = unsure.is_some_and(|unsure| unsure >= record.policy.patience);
        match record.policy.on_inconclusive {
            OnInconclusive::RollBack if overdue => {
                let evidence = format!("could not tell for {}: {}", Seconds(unsure), evidence());
                return Judgement::Fail { gate: name.clone(), evidence };
            }
            OnInconclusive::Continue if overdue => continue,
            OnInconclusive::Continue | OnInconclusive::Hold | OnInconclusive::RollBack => {}
        }
        if !matches!(record.latest, Some((_, Verdict::Pass(_)))) {
            pending.get_or_insert_with(|| name.clone());
        }
    }
    pending.map_or(Judgement::Pass, |gate| Judgement::Pending { gate })
}

struct Seconds(Option<Duration>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.unwrap_or_default().as_secs())
    }
}
