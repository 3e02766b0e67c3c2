//! Quantities such as `500m`, `2` and `1Gi`, as exact numbers of thousandths.

use std::fmt;

/// An amount of a resource in thousandths of its unit.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Quantity(i128);

impl Quantity {
    pub(super) fn whole(units: i128) -> Self {
        Self(units * 1000)
    }

    /// Reads a quantity; `None` when the text is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_start_matches(['+', '-']);
        let end = digits.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(digits.len());
        let (number, suffix) = digits.split_at(end);
        let scale = scale(suffix)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let mut value = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? } * scale;
        if !part.is_empty() {
            let places = u32::try_from(part.len()).ok()?;
            value += part.parse::<i128>().ok()? * scale / 10_i128.checked_pow(places)?;
        }
        Some(Self(if text.starts_with('-') { -value } else { value }))
    }
}

/// The thousandths in one of the suffix.
fn scale(suffix: &str) -> Option<i128> {
    Some(match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    })
}

impl std::ops::Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl fmt::Display for Quantity {
    /// Writes the shortest exact form, as the server does for sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, scale) in [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            let scale = 1000_i128 << scale;
            if self.0 != 0 && self.0 % scale == 0 {
                return write!(f, "{}{suffix}", self.0 / scale);
            }
        }
        if self.0 % 1000 == 0 {
            return write!(f, "{}", self.0 / 1000);
        }
        write!(f, "{}m", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        for (text, shown) in [
            ("500m", "500m"),
            ("2", "2"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024", "1Ki"),
            ("2k", "2000"),
            ("-1", "-1"),
            ("0", "0"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "m", "1x", "abc", "."] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sums_compare_by_value() {
        let half = Quantity::parse("500m").unwrap();
        assert_eq!(half + half, Quantity::whole(1));
        assert!(Quantity::parse("1Gi") > Quantity::parse("1000M"));
    }
}
