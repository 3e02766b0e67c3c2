//! Numbers of pods as data: the `IntOrString` of Kubernetes.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Amount;

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of pods, as 2, or a percentage of them, as 25%")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        let count = u32::try_from(number);
        count.map(Amount::Count).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        let count = u32::try_from(number);
        count.map(Amount::Count).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(feature = "schemars")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use crate::amount::{Amount, Part};

    impl JsonSchema for Amount {
        fn schema_name() -> Cow<'static, str> {
            "Amount".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            number_or_text("A number of pods, or a percentage of the desired replicas.", "[0-9]+")
        }
    }

    impl JsonSchema for Part {
        fn schema_name() -> Cow<'static, str> {
            "Part".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let most = "0*([0-9]{1,2}|100)";
            number_or_text("A number of pods, or a percentage of them of at most 100.", most)
        }
    }

    fn number_or_text(description: &str, percent: &str) -> Schema {
        json_schema!({
            "description": description,
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": u32::MAX },
                { "type": "string", "pattern": format!("^([0-9]+|{percent}%)$") },
            ],
            "examples": [2, "25%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amount::Part;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<u32>()) {
            for amount in [Amount::Count(number), Amount::Percent(number)] {
                let json = serde_json::to_string(&amount).unwrap();
                prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
            }
        }
    }

    #[test]
    fn a_count_is_a_number_and_a_percentage_is_text() {
        assert_eq!(serde_json::to_string(&Amount::Count(2)).unwrap(), "2");
        assert_eq!(serde_json::to_string(&Amount::Percent(25)).unwrap(), "\"25%\"");
        assert_eq!(serde_json::to_string(&Part::from(2)).unwrap(), "2");
        assert_eq!(serde_json::from_str::<Amount>("\"2\"").unwrap(), Amount::Count(2));
    }

    #[test]
    fn other_values_are_refused_with_what_is_meant() {
        for json in ["-1", "4294967296", "1.5", "true", "null", "[2]", "\"two\""] {
            let error = serde_json::from_str::<Amount>(json).unwrap_err().to_string();
            assert!(error.contains("a percentage of them, as 25%"), "{json}: {error}");
        }
    }
}
