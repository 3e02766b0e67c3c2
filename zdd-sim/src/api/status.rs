//! Error answers: the `Status` object with the server's own reasons, codes and wording.

mod field;

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

pub use field::FieldError;

use super::resource::Resource;
use crate::collection::Collection;
use crate::store::StoreError;

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// A refusal by the API server.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
#[non_exhaustive]
pub struct ApiStatus {
    /// The HTTP status.
    pub code: StatusCode,
    /// The machine-readable reason, such as `NotFound`; may be empty.
    pub reason: Cow<'static, str>,
    /// The sentence for people.
    pub message: String,
    /// What the refusal is about.
    pub details: Option<Box<Details>>,
    /// The token with which an expired list can go on.
    pub continue_token: Option<String>,
}

/// What a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource, or the kind where the server says the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The single reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which a retry makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One reason of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// The machine-readable reason, such as `FieldValueInvalid`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// The sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl ApiStatus {
    /// Makes a refusal without details.
    #[must_use]
    pub fn new(
        code: StatusCode,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(mut self, of: &Collection, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: of.group().to_owned(),
            kind: of.plural().to_owned(),
            ..Details::default()
        }));
        self
    }

    /// 404: there is no such object.
    #[must_use]
    pub fn not_found(of: &Collection, name: &str) -> Self {
        let message = format!("{of} \"{name}\" not found");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(of, name)
    }

    /// 404: the server serves no such resource.
    #[must_use]
    pub fn unknown_resource() -> Self {
        let message = "the server could not find the requested resource";
        let mut status = Self::new(StatusCode::NOT_FOUND, "NotFound", message);
        status.details = Some(Box::default());
        status
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(of: &Collection, name: &str) -> Self {
        let message = format!("{of} \"{name}\" already exists");
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(of, name)
    }

    /// 409: the object is not in the state that the writer named.
    #[must_use]
    pub fn conflict(of: &Collection, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {of} \"{name}\": {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(of, name)
    }

    /// 409: the object has another resourceVersion than the writer saw.
    #[must_use]
    pub fn modified(of: &Collection, name: &str) -> Self {
        Self::conflict(of, name, MODIFIED)
    }

    /// 403: not allowed, for the given reason.
    #[must_use]
    pub fn forbidden(of: &Collection, name: &str, why: impl fmt::Display) -> Self {
        let message = if name.is_empty() {
            format!("{of} is forbidden: {why}")
        } else {
            format!("{of} \"{name}\" is forbidden: {why}")
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(of, name)
    }

    /// 400: the request makes no sense.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 405: the resource knows no such verb.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        status.details = Some(Box::default());
        status
    }

    /// 410: the asked revision is no longer held.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 410: a watch cannot start or go on at so old a revision.
    #[must_use]
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 504: the asked revision is still to come.
    #[must_use]
    pub fn too_large(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut status = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        status.details = Some(Box::new(Details {
            causes: vec![Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            }],
            retry_after_seconds: Some(1),
            ..Details::default()
        }));
        status
    }

    /// What a client makes of a bare HTTP status, and a front of the server sends with it.
    #[must_use]
    pub fn generic(code: StatusCode) -> Self {
        let (reason, message) = match code.as_u16() {
            409 => ("Conflict", "the server reported a conflict".to_owned()),
            422 => {
                ("Invalid", "the server rejected our request due to an error in our request".into())
            }
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later"
                    .into(),
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request".into(),
            ),
            504 => (
                "Timeout",
                "the server was unable to return a response in the time allotted, but may still \
                 be processing the request"
                    .into(),
            ),
            500.. => (
                "InternalError",
                "an error on the server (\"unknown\") has prevented the request from succeeding"
                    .into(),
            ),
            other => (
                "",
                format!(
                    "the server responded with the status code {other} but did not return more \
                     information"
                ),
            ),
        };
        let mut status = Self::new(code, reason, message);
        status.details = Some(Box::default());
        status
    }

    /// 429: come back later.
    #[must_use]
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let mut status = Self::generic(StatusCode::TOO_MANY_REQUESTS);
        status.details = Some(Box::new(Details {
            retry_after_seconds: Some(retry_after_seconds),
            ..Details::default()
        }));
        status
    }

    /// 500: the server failed.
    #[must_use]
    pub fn internal(why: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {why}");
        let mut status = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
        status.details = Some(Box::new(Details {
            causes: vec![Cause { message: why.to_string(), ..Cause::default() }],
            ..Details::default()
        }));
        status
    }

    /// 415: the body is of a kind that this resource does not take.
    #[must_use]
    pub fn unsupported_media(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             {accepted}"
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 406: the client takes no form that is served. Of those who speak JSON it is told in other
    /// words than of those who do not.
    #[must_use]
    pub fn not_acceptable(speaks_json: bool) -> Self {
        let code = StatusCode::NOT_ACCEPTABLE;
        if speaks_json {
            let message = "only the following media types are accepted: application/json, \
                           application/yaml, application/vnd.kubernetes.protobuf";
            return Self::new(code, "NotAcceptable", message);
        }
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, \
                       application/yaml, application/vnd.kubernetes.protobuf, \
                       application/json;stream=watch, \
                       application/vnd.kubernetes.protobuf;stream=watch";
        let mut status = Self::new(code, "NotAcceptable", message);
        status.details = Some(Box::default());
        status
    }

    /// 415: the patch is of a kind that this resource does not take.
    #[must_use]
    pub fn unsupported_patch() -> Self {
        let message = "415: Unsupported Media Type";
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let mut status = Self::new(code, "UnsupportedMediaType", message);
        status.details = Some(Box::default());
        status
    }

    /// 422: the object breaks rules of its kind.
    #[must_use]
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_kind(resource.group(), resource.kind(), name, errors)
    }

    /// 422, of a kind that is no resource, such as the options of a request.
    #[must_use]
    pub fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {list}");
        let mut status = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
            causes: errors.iter().map(FieldError::cause).collect(),
            ..Details::default()
        }));
        status
    }

    /// Says what the store said, as the API server does for this resource.
    #[must_use]
    pub fn from_store(resource: &Resource, error: StoreError) -> Self {
        let of = resource.group_resource();
        match error {
            StoreError::AlreadyExists { name, .. } => Self::already_exists(of, &name),
            StoreError::Conflict { name, .. } => Self::modified(of, &name),
            StoreError::NotFound { name, .. } => Self::not_found(of, &name),
            StoreError::UidMismatch { namespace, name, wanted, found, .. } => {
                let place = if namespace.is_empty() { namespace } else { namespace + "/" };
                let folder = resource.folder();
                Self::conflict(
                    of,
                    &name,
                    format_args!(
                        "StorageError: invalid object, Code: 4, Key: /registry/{folder}/{place}{name}, \
                         ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
                         precondition: {wanted}, UID in object meta: {found}"
                    ),
                )
            }
        }
    }

    /// Returns the `Status` object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.as_ref().into();
        }
        if let Some(details) = &self.details {
            status["details"] = json!(details);
        }
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        status
    }

    /// Returns the seconds after which a retry makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.details.as_ref()?.retry_after_seconds
    }
}
