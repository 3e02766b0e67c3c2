//! Where gates get their numbers from.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

/// A query in the source's own language, for one number.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Query {
    /// Names the metric, for evidence.
    pub name: String,
    /// The expression.
    pub expression: String,
}

impl Query {
    /// Makes a query.
    #[must_use]
    pub fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self { name: name.into(), expression: expression.into() }
    }
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every gate must decide for both")]
pub enum Sample {
    /// The source answered that it has nothing, or something that is no number.
    NoData,
    /// A finite number and when it was measured.
    Value {
        /// The number; never NaN or infinite.
        value: f64,
        /// When it was measured.
        at: Timestamp,
    },
}

impl Sample {
    /// Makes a sample; NaN and infinities are [`Sample::NoData`].
    #[must_use]
    pub fn new(value: f64, at: Timestamp) -> Self {
        if value.is_finite() { Self::Value { value, at } } else { Self::NoData }
    }
}

/// Answers queries for single numbers.
///
/// # Examples
/// ```
/// use jiff::Timestamp;
/// use zdd_core::{MetricsError, MetricsSource, Query, Sample};
///
/// /// Says the same for every query.
/// struct Constant(f64);
///
/// #[async_trait::async_trait]
/// impl MetricsSource for Constant {
///     async fn sample(&self, _: &Query, at: Timestamp) -> Result<Sample, MetricsError> {
///         Ok(Sample::new(self.0, at))
///     }
/// }
///
/// let source: Box<dyn MetricsSource> = Box::new(Constant(0.002));
/// # drop(source);
/// assert_eq!(Sample::new(f64::NAN, Timestamp::UNIX_EPOCH), Sample::NoData);
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(note = "implement `sample` with `#[async_trait]`")]
pub trait MetricsSource: Send + Sync {
    /// Evaluates a query as of a time.
    ///
    /// # Cancel safety
    /// Callers drop the future when time runs out. Implementations must not change anything.
    ///
    /// # Errors
    /// [`MetricsError`] when the source could not be asked or its answer not be understood. An
    /// empty answer is [`Sample::NoData`].
    async fn sample(&self, query: &Query, at: Timestamp) -> Result<Sample, MetricsError>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<M: MetricsSource + ?Sized> MetricsSource for $pointer {
            async fn sample(&self, query: &Query, at: Timestamp) -> Result<Sample, MetricsError> {
                (**self).sample(query, at).await
            }
        }
    )+};
}

forward!(Arc<M>, Box<M>);

/// The source could not be asked, or its answer not be understood.
#[derive(Debug, Error)]
#[error("failed to evaluate the query {query}")]
pub struct MetricsError {
    query: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl MetricsError {
    /// Wraps the cause.
    pub fn new(query: &Query, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { query: query.name.clone(), source: source.into() }
    }
}
