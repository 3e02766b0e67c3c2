//! One metric against one bound.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zdd_core::{
    GateContext, GatePolicy, HealthGate, MetricsSource, Query, Sample, Side, Verdict, elapsed,
};

/// The side of a number on which a metric is healthy.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a number has two sides")]
pub enum Bound {
    /// Healthy at or above.
    AtLeast(f64),
    /// Healthy at or below.
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// Passes while a metric keeps a bound.
///
/// No data, data older than [`max_age`](Self::max_age), and a source that
/// cannot be asked are inconclusive: neither pass nor fail.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use zdd_core::{MetricsError, MetricsSource, Query, Sample};
/// use zdd_strategies::gates::{Bound, Threshold};
///
/// # struct Fixed;
/// # #[async_trait::async_trait]
/// # impl MetricsSource for Fixed {
/// #     async fn sample(&self, _: &Query, at: jiff::Timestamp) -> Result<Sample, MetricsError> {
/// #         Ok(Sample::new(0.0, at))
/// #     }
/// # }
/// # let source: Arc<dyn MetricsSource> = Arc::new(Fixed);
/// let errors = Query::new("error-rate", "sum(rate(errors[1m])) / sum(rate(requests[1m]))");
/// let gate = Threshold::new(source, errors, Bound::AtMost(0.01));
/// # drop(gate);
/// ```
pub struct Threshold {
    source: Arc<dyn MetricsSource>,
    query: Query,
    bound: Bound,
    max_age: Duration,
    side: Side,
    policy: GatePolicy,
}

impl Threshold {
    /// Makes the gate, named after the query.
    #[must_use]
    pub fn new(source: Arc<dyn MetricsSource>, query: Query, bound: Bound) -> Self {
        let policy = GatePolicy::default();
        Self { source, query, bound, max_age: Duration::from_secs(60), side: Side::New, policy }
    }

    /// Sets how old a sample may be; 60 s without it.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Names the side that the metric is about; the new one without it.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.side = side;
        self
    }

    /// Replaces the policy.
    #[must_use]
    pub fn with_policy(mut self, policy: GatePolicy) -> Self {
        self.policy = policy;
        self
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threshold")
            .field("query", &self.query)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HealthGate for Threshold {
    fn name(&self) -> &str {
        &self.query.name
    }

    async fn check(&self, context: &GateContext<'_>) -> Verdict {
        let (value, at) = match self.source.sample(&self.query, context.now).await {
            Ok(Sample::Value { value, at }) => (value, at),
            Ok(Sample::NoData) => return Verdict::Inconclusive("no data".to_owned()),
            Err(error) => return Verdict::Inconclusive(error.to_string()),
        };
        let age = elapsed(at, context.now);
        if age > self.max_age {
            return Verdict::Inconclusive(format!("the newest sample is {} s old", age.as_secs()));
        }
        if at < context.since {
            return Verdict::Inconclusive("no sample since the gates were opened".to_owned());
        }
        let evidence = format!("{value} (healthy: {})", self.bound);
        if self.bound.holds(value) { Verdict::Pass(evidence) } else { Verdict::Fail(evidence) }
    }

    fn side(&self) -> Side {
        self.side
    }

    fn policy(&self) -> GatePolicy {
        self.policy.clone()
    }
}
