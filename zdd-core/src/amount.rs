//! Numbers of pods, absolute or as a share of all, with Kubernetes' rounding.

mod data;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number of pods: a count, or a percentage of the desired replicas, which may be above 100.
///
/// Where no more than all pods can be meant, there is [`Part`].
///
/// As data it is what Kubernetes calls an `IntOrString`: `2`, or `"25%"`; `"2"` is read too.
///
/// # Examples
/// ```
/// use zdd_core::Amount;
///
/// let surge: Amount = "25%".parse()?;
/// assert_eq!(surge.round_up(6), 2);
/// assert_eq!(surge.round_down(6), 1);
/// assert_eq!("150%".parse::<Amount>()?.round_up(5), 8);
/// # Ok::<(), zdd_core::InvalidAmount>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two forms that Kubernetes has")]
pub enum Amount {
    /// That many pods.
    Count(u32),
    /// That many hundredths of the desired replicas.
    Percent(u32),
}

impl Amount {
    /// No pods.
    pub const ZERO: Self = Self::Count(0);

    /// Resolves to pods, rounding up: how Kubernetes reads maxSurge.
    #[must_use]
    pub fn round_up(self, replicas: u32) -> u32 {
        self.resolve(replicas, 99)
    }

    /// Resolves to pods, rounding down: how Kubernetes reads maxUnavailable.
    #[must_use]
    pub fn round_down(self, replicas: u32) -> u32 {
        self.resolve(replicas, 0)
    }

    /// Tells whether it is nothing, of however many replicas.
    #[must_use]
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    fn resolve(self, replicas: u32, round: u64) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                // Twice 32 bits fill 64, and nothing is left to add to.
                let hundredths = u64::from(replicas) * u64::from(percent);
                u32::try_from(hundredths.saturating_add(round) / 100).unwrap_or(u32::MAX)
            }
        }
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (digits, form): (_, fn(u32) -> Self) = match text.strip_suffix('%') {
            Some(digits) => (digits, Self::Percent),
            None => (text, Self::Count),
        };
        // The parser of the standard library takes a sign too.
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
        number.flatten().map(form).ok_or_else(|| InvalidAmount::Malformed { text: text.to_owned() })
    }
}

impl From<u32> for Amount {
    fn from(count: u32) -> Self {
        Self::Count(count)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A part of the pods: an [`Amount`] whose percentage ends at 100.
///
/// Pods beyond the desired number may be more than all of them; pods that are missing, or that
/// are watched first, may not.
///
/// # Examples
/// ```
/// use zdd_core::Part;
///
/// let first: Part = "50%".parse()?;
/// assert_eq!(first.round_up(5), 3);
/// assert!("150%".parse::<Part>().is_err());
/// # Ok::<(), zdd_core::InvalidAmount>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "Amount", into = "Amount")]
pub struct Part(Amount);

impl Part {
    /// No pods.
    pub const ZERO: Self = Self(Amount::ZERO);

    /// Resolves to pods, rounding up.
    #[must_use]
    pub fn round_up(self, replicas: u32) -> u32 {
        self.0.round_up(replicas)
    }

    /// Resolves to pods, rounding down: how Kubernetes reads maxUnavailable.
    #[must_use]
    pub fn round_down(self, replicas: u32) -> u32 {
        self.0.round_down(replicas)
    }

    /// Tells whether it is nothing, of however many replicas.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl TryFrom<Amount> for Part {
    type Error = InvalidAmount;

    fn try_from(amount: Amount) -> Result<Self, InvalidAmount> {
        match amount {
            Amount::Percent(percent) if percent > 100 => {
                Err(InvalidAmount::MoreThanAll { percent })
            }
            Amount::Count(_) | Amount::Percent(_) => Ok(Self(amount)),
        }
    }
}

impl From<Part> for Amount {
    fn from(part: Part) -> Self {
        part.0
    }
}

impl From<u32> for Part {
    fn from(count: u32) -> Self {
        Self(count.into())
    }
}

impl FromStr for Part {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        text.parse::<Amount>()?.try_into()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of pods that means nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InvalidAmount {
    /// The text is neither a number nor a percentage.
    #[error("\"{text}\" is not a number of pods, as 2, or a percentage of them, as 25%")]
    Malformed {
        /// The text.
        text: String,
    },
    /// A part cannot be more than the whole.
    #[error("\"{percent}%\" is more than all pods; 100% is the most here")]
    MoreThanAll {
        /// The percentage.
        percent: u32,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `GetScaledValueFromIntOrPercent` of Kubernetes, which reckons in floating point.
        #[test]
        fn pods_are_those_that_kubernetes_reckons(replicas in 0_u32..100_000, percent in 0_u32..=1_000) {
            let amount = Amount::Percent(percent);
            let exact = f64::from(percent) * f64::from(replicas) / 100.0;
            prop_assert_eq!(f64::from(amount.round_up(replicas)), exact.ceil());
            prop_assert_eq!(f64::from(amount.round_down(replicas)), exact.floor());
        }

        #[test]
        fn a_part_never_resolves_to_more_than_all(replicas in any::<u32>(), percent in 0_u32..=100) {
            let part = Part::try_from(Amount::Percent(percent)).unwrap();
            prop_assert!(part.round_down(replicas) <= part.round_up(replicas));
            prop_assert!(part.round_up(replicas) <= replicas);
        }

        #[test]
        fn text_form_round_trips(number in any::<u32>()) {
            for amount in [Amount::Count(number), Amount::Percent(number)] {
                prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        assert_eq!(Amount::Percent(u32::MAX).round_up(u32::MAX), u32::MAX);
        assert_eq!(Amount::Percent(100).round_up(u32::MAX), u32::MAX);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in [
            "",
            "%",
            "-1",
            "+1",
            "+5%",
            " 5%",
            "1.5",
            "abc",
            "-5%",
            "5%%",
            "4294967296",
            "4294967296%",
        ] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
            assert_eq!(text.parse::<Part>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn more_than_all_is_a_surge_and_no_part() {
        assert_eq!("101%".parse(), Ok(Amount::Percent(101)));
        assert_eq!("101%".parse::<Part>(), Err(InvalidAmount::MoreThanAll { percent: 101 }));
        assert_eq!("100%".parse::<Part>().map(Amount::from), Ok(Amount::Percent(100)));
        let stored = serde_json::from_str::<Part>("\"101%\"").unwrap_err().to_string();
        assert!(stored.starts_with("\"101%\" is more than all pods"), "{stored}");
    }
}
