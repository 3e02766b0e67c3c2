//! Times in settings, as text with units: `90s`, `10m`, `1h 30m`.

pub(crate) use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
pub(crate) use jiff::fmt::serde::unsigned_duration::friendly::compact::required::{
    deserialize, serialize,
};

/// What such a text is to editors and validators. Which texts are times, jiff alone knows.
#[cfg(feature = "schemars")]
pub(crate) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "examples": ["90s", "10m", "1h 30m"] })
}

/// The same, or no time at all.
#[cfg(feature = "schemars")]
pub(crate) fn optional_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "null"], "examples": ["25s"] })
}
