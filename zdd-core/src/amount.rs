//! Numbers of pods, absolute or as a share of all, with Kubernetes' rounding.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A whole percentage, 0 to 100.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(100);
    /// None of it.
    pub const ZERO: Self = Self(0);

    /// Makes a percentage.
    ///
    /// # Errors
    /// [`InvalidAmount`] above 100.
    pub fn new(value: u32) -> Result<Self, InvalidAmount> {
        match u8::try_from(value) {
            Ok(small) if small <= 100 => Ok(Self(small)),
            _ => Err(InvalidAmount(format!("{value}%"))),
        }
    }

    /// Returns the number, 0 to 100.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }
}

impl TryFrom<u32> for Percent {
    type Error = InvalidAmount;

    fn try_from(value: u32) -> Result<Self, InvalidAmount> {
        Self::new(value)
    }
}

impl From<Percent> for u32 {
    fn from(percent: Percent) -> Self {
        percent.get()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A number of pods: a count, or a percentage of the desired replicas.
///
/// # Examples
/// ```
/// use zdd_core::Amount;
///
/// let surge: Amount = "25%".parse()?;
/// assert_eq!(surge.round_up(6), 2);
/// assert_eq!(surge.round_down(6), 1);
/// assert!("150%".parse::<Amount>().is_err());
/// # Ok::<(), zdd_core::InvalidAmount>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[expect(clippy::exhaustive_enums, reason = "the two forms that Kubernetes has")]
pub enum Amount {
    /// That many pods.
    Count(u32),
    /// That share of the desired replicas.
    Percent(Percent),
}

impl Amount {
    /// No pods.
    pub const ZERO: Self = Self::Count(0);

    /// Resolves to pods, rounding up: how Kubernetes reads maxSurge.
    #[must_use]
    pub fn round_up(self, replicas: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(replicas, percent, 99),
        }
    }

    /// Resolves to pods, rounding down: how Kubernetes reads maxUnavailable.
    #[must_use]
    pub fn round_down(self, replicas: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(replicas, percent, 0),
        }
    }
}

fn share(replicas: u32, percent: Percent, round: u64) -> u32 {
    let pods = (u64::from(replicas) * u64::from(percent.get()) + round) / 100;
    u32::try_from(pods).unwrap_or(u32::MAX)
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let invalid = || InvalidAmount(text.to_owned());
        match text.strip_suffix('%') {
            Some(number) => Percent::new(number.parse().map_err(|_| invalid())?).map(Self::Percent),
            None => text.parse().map(Self::Count).map_err(|_| invalid()),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl From<u32> for Amount {
    fn from(count: u32) -> Self {
        Self::Count(count)
    }
}

impl From<Percent> for Amount {
    fn from(percent: Percent) -> Self {
        Self::Percent(percent)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}"),
        }
    }
}

/// The text is neither a number of pods nor a percentage from 0% to 100%.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("\"{0}\" is not a number of pods or a percentage from 0% to 100%")]
pub struct InvalidAmount(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_stays_within_one_pod_of_the_exact_share(replicas in 0_u32..100_000, percent in 0_u32..=100) {
            let amount = Amount::Percent(Percent::new(percent).unwrap());
            let exact = f64::from(replicas) * f64::from(percent) / 100.0;
            let (up, down) = (f64::from(amount.round_up(replicas)), f64::from(amount.round_down(replicas)));
            prop_assert!(down <= exact + 1e-6 && exact - 1e-6 <= up);
            prop_assert!(up - down <= 1.0);
        }

        #[test]
        fn text_form_round_trips(count in any::<u32>(), percent in 0_u32..=100) {
            for amount in [Amount::Count(count), Amount::Percent(Percent::new(percent).unwrap())] {
                prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            }
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["", "%", "-1", "101%", "1.5", "abc", "-5%", "4294967296"] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.contains(text.trim_end_matches('%')), "{error}");
        }
    }
}
