//! One broken rule of an object, in the server's words.

use std::fmt;

use serde_json::Value;

use super::Cause;

/// One broken rule of an object.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FieldError {
    field: String,
    reason: FieldReason,
    body: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum FieldReason {
    Duplicate,
    Forbidden,
    Invalid,
    NotFound,
    NotSupported,
    Required,
    TooLong,
    TooMany,
    TypeInvalid,
}

impl FieldReason {
    fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::Invalid => "FieldValueInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Required => "FieldValueRequired",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

impl FieldError {
    fn with_value(
        reason: FieldReason,
        title: &str,
        field: String,
        value: &Value,
        why: &str,
    ) -> Self {
        // A string is quoted, the rest is JSON: both are what serde_json writes.
        let body = if why.is_empty() {
            format!("{title}: {value}")
        } else {
            format!("{title}: {value}: {why}")
        };
        Self { field, reason, body }
    }

    /// The value breaks a rule.
    #[must_use]
    pub fn invalid(field: impl Into<String>, value: &Value, why: impl AsRef<str>) -> Self {
        let reason = FieldReason::Invalid;
        Self::with_value(reason, "Invalid value", field.into(), value, why.as_ref())
    }

    /// The value appears twice.
    #[must_use]
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let reason = FieldReason::Duplicate;
        Self::with_value(reason, "Duplicate value", field.into(), value, "")
    }

    /// The value is of another type.
    #[must_use]
    pub fn type_invalid(field: impl Into<String>, value: &Value, why: impl AsRef<str>) -> Self {
        let (reason, title) = (FieldReason::TypeInvalid, "Invalid value");
        Self::with_value(reason, title, field.into(), value, why.as_ref())
    }

    /// The value names something that is not there.
    #[must_use]
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self::with_value(FieldReason::NotFound, "Not found", field.into(), value, "")
    }

    /// The value is none of the known ones.
    #[must_use]
    pub fn not_supported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let list: Vec<String> = known.iter().map(|text| format!("\"{text}\"")).collect();
        let why = format!("supported values: {}", list.join(", "));
        let reason = FieldReason::NotSupported;
        Self::with_value(reason, "Unsupported value", field.into(), value, &why)
    }

    /// The field must be set.
    #[must_use]
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        Self::plain(FieldReason::Required, "Required value", field.into(), why)
    }

    /// The field must not be set or changed.
    #[must_use]
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self::plain(FieldReason::Forbidden, "Forbidden", field.into(), why)
    }

    /// The value is longer than allowed.
    #[must_use]
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let why = format!("may not be more than {limit} bytes");
        Self::plain(FieldReason::TooLong, "Too long", field.into(), &why)
    }

    /// The list has more items than allowed.
    #[must_use]
    pub fn too_many(field: impl Into<String>, count: usize, limit: usize) -> Self {
        let why = format!("{count}: must have at most {limit} items");
        Self::plain(FieldReason::TooMany, "Too many", field.into(), &why)
    }

    fn plain(reason: FieldReason, title: &str, field: String, why: &str) -> Self {
        let body = if why.is_empty() { title.to_owned() } else { format!("{title}: {why}") };
        Self { field, reason, body }
    }

    pub(super) fn cause(&self) -> Cause {
        Cause {
            reason: self.reason.code().into(),
            message: self.body.clone(),
            field: self.field.clone(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body)
    }
}
