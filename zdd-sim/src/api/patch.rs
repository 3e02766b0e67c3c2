//! Applies JSON, merge and strategic merge patches.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::resource::Resource;
use super::status::ApiStatus;
use super::strategic;

/// What custom kinds say to a patch that only built-in kinds take.
const NO_STRATEGY: &str = "the body of the request was in an unknown format - accepted media types \
    include: application/json-patch+json, application/merge-patch+json, \
    application/apply-patch+yaml";

/// The kinds of patches, by media type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PatchKind {
    Apply,
    Json,
    Merge,
    Strategic,
}

impl PatchKind {
    /// # Errors
    /// 415 when the resource does not take patches of this type.
    pub(crate) fn of(resource: &Resource, headers: &HeaderMap) -> Result<Self, ApiStatus> {
        let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let known = match media {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" if !resource.is_custom() => {
                Some(Self::Strategic)
            }
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        };
        known.ok_or_else(|| match media {
            "application/strategic-merge-patch+json" => ApiStatus::new(
                http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                NO_STRATEGY,
            ),
            _ => ApiStatus::unsupported_patch(),
        })
    }

    /// Changes `object` as the patch says; apply is not a patch in this sense.
    ///
    /// # Errors
    /// 400 when the patch is malformed, 422 when it does not fit the object.
    pub(crate) fn change(self, object: &mut Value, patch: Value) -> Result<(), ApiStatus> {
        match self {
            Self::Json => change_json(object, patch),
            Self::Merge => {
                require_map(&patch)?;
                json_patch::merge(object, &patch);
                Ok(())
            }
            Self::Strategic => {
                require_map(&patch)?;
                strategic::merge(object, &patch)
            }
            Self::Apply => Ok(()),
        }
    }
}

fn change_json(object: &mut Value, patch: Value) -> Result<(), ApiStatus> {
    if !patch.is_array() {
        return Err(wrong_type(&patch, "[]handlers.jsonPatchOp"));
    }
    // What is no operation is found when it is done, as what does not fit the object is.
    let unfit = || ApiStatus::generic(http::StatusCode::UNPROCESSABLE_ENTITY);
    let operations: json_patch::Patch = serde_json::from_value(patch).map_err(|_| unfit())?;
    json_patch::patch(object, &operations).map_err(|_| unfit())
}

fn require_map(patch: &Value) -> Result<(), ApiStatus> {
    if patch.is_object() {
        return Ok(());
    }
    Err(wrong_type(patch, "map[string]interface {}"))
}

fn wrong_type(patch: &Value, wanted: &str) -> ApiStatus {
    let found = match patch {
        Value::Array(_) => "array",
        Value::Bool(_) => "bool",
        Value::Null => "null",
        Value::Number(_) => "number",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    };
    ApiStatus::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"
    ))
}
