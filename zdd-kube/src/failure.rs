//! What became of a request that did not succeed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use zdd_core::ClusterError;

/// Whether a request changes anything when it succeeds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    Read,
    Write,
}

/// A request that did not succeed, with what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) verb: &'static str,
    pub(crate) object: String,
    pub(crate) effect: Effect,
    pub(crate) what: What,
}

/// What happened to the request.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The server gave a definite answer.
    Answered(Answer),
    /// The connection failed after the request may have been sent.
    Broken(Arc<kube::Error>),
    /// There was no answer in time.
    Late(Duration),
    /// The request never left.
    NotSent(Arc<kube::Error>),
    /// The server said that it succeeded, in a form that cannot be understood.
    Unreadable(Arc<serde_json::Error>),
}

/// The server's refusal.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn answer(&self) -> Option<&Answer> {
        match &self.what {
            What::Answered(answer) => Some(answer),
            What::Broken(_) | What::Late(_) | What::NotSent(_) | What::Unreadable(_) => None,
        }
    }

    pub(crate) fn has_code(&self, code: StatusCode) -> bool {
        self.answer().is_some_and(|answer| answer.code == code)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.has_code(StatusCode::NOT_FOUND)
    }

    /// The precondition failed, or an object of that name exists already.
    pub(crate) fn is_conflict(&self) -> bool {
        self.has_code(StatusCode::CONFLICT)
    }

    /// Takes the request for one that had no effect, whatever its verb.
    pub(crate) fn reading(mut self) -> Self {
        self.effect = Effect::Read;
        self
    }

    fn kind(&self) -> Kind {
        let unclear = match self.effect {
            Effect::Read => Kind::Unavailable,
            Effect::Write => Kind::Unknown,
        };
        match &self.what {
            // What a new object lacks is its namespace.
            What::Answered(_) if self.verb == "create" && self.is_not_found() => Kind::Refused,
            What::Answered(answer) => answer.kind(self.effect, unclear),
            What::Broken(_) | What::Late(_) => unclear,
            What::NotSent(_) => Kind::Unavailable,
            // The write happened; reading it back shows what it made.
            What::Unreadable(_) if self.effect == Effect::Write => Kind::Unknown,
            What::Unreadable(_) => Kind::Refused,
        }
    }
}

enum Kind {
    Conflict,
    Forbidden,
    Refused,
    Unauthorized,
    Unavailable,
    Unknown,
}

impl Answer {
    fn kind(&self, effect: Effect, unclear: Kind) -> Kind {
        match self.code {
            StatusCode::CONFLICT => Kind::Conflict,
            // The object was there when its state was read.
            StatusCode::NOT_FOUND if effect == Effect::Write => Kind::Conflict,
            StatusCode::UNAUTHORIZED => Kind::Unauthorized,
            StatusCode::FORBIDDEN if self.is_authorization() => Kind::Forbidden,
            // An expired continue token or revision: a fresh read helps.
            StatusCode::GONE => Kind::Unavailable,
            // Both are sent before anything is done.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
            code if code.is_server_error() => unclear,
            _ => Kind::Refused,
        }
    }

    /// Tells a refusal by RBAC from one by admission, which has the same code.
    fn is_authorization(&self) -> bool {
        let denied = self.message.contains("denied the request")
            || self.message.contains("exceeded quota")
            || self.message.contains("violates PodSecurity");
        !denied && (self.message.contains(" cannot ") || !self.message.contains("is forbidden"))
    }
}

impl From<Failure> for ClusterError {
    fn from(failure: Failure) -> Self {
        let kind = failure.kind();
        let problem = failure.to_string();
        let (action, object) = (failure.verb.to_owned(), failure.object);
        let source = Arc::new(NoSuccess { problem: problem.clone(), what: failure.what });
        match kind {
            Kind::Conflict => Self::Conflict { object },
            Kind::Forbidden => Self::Forbidden { action, object, source },
            Kind::Refused => Self::Refused { object, problem, source: None },
            Kind::Unauthorized => Self::Unauthorized { action, object, source },
            Kind::Unavailable => Self::Unavailable { action, object, source },
            Kind::Unknown => Self::Unknown { action, object, source },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Answered(answer) if answer.message.is_empty() => {
                write!(f, "the server answered {}", answer.code)
            }
            What::Answered(answer) => f.write_str(&answer.message),
            What::Broken(_) => f.write_str("the connection failed"),
            What::Late(after) => write!(f, "no answer within {after:?}"),
            What::NotSent(_) => f.write_str("the request could not be sent"),
            What::Unreadable(_) => f.write_str("the server's answer cannot be understood"),
        }
    }
}

/// The cause that an error of the engine carries.
#[derive(Debug)]
struct NoSuccess {
    problem: String,
    what: What,
}

impl fmt::Display for NoSuccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl StdError for NoSuccess {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.what {
            What::Broken(error) | What::NotSent(error) => Some(&**error),
            What::Unreadable(error) => Some(&**error),
            What::Answered(_) | What::Late(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(effect: Effect, what: What, expected: &str) {
        let object = "Deployment default/web".to_owned();
        let error = ClusterError::from(Failure { verb: "patch", object, effect, what });
        let name = format!("{error:?}");
        assert!(name.starts_with(expected), "{name}");
    }

    fn answered(code: u16, message: &str) -> What {
        let code = StatusCode::from_u16(code).unwrap();
        What::Answered(Answer { code, message: message.to_owned(), retry_after: None })
    }

    #[test]
    fn definite_answers_say_that_nothing_was_written() {
        for (code, read, write) in [
            (400, "Refused", "Refused"),
            (401, "Unauthorized", "Unauthorized"),
            (404, "Refused", "Conflict"),
            (409, "Conflict", "Conflict"),
            (410, "Unavailable", "Unavailable"),
            (413, "Refused", "Refused"),
            (422, "Refused", "Refused"),
            (429, "Unavailable", "Unavailable"),
            (503, "Unavailable", "Unavailable"),
        ] {
            check(Effect::Read, answered(code, "why"), read);
            check(Effect::Write, answered(code, "why"), write);
        }
    }

    #[test]
    fn a_create_that_finds_nothing_lacks_its_namespace() {
        let object = "Lease shop/zdd-deployment-web".to_owned();
        let what = answered(404, "namespaces \"shop\" not found");
        let failure = Failure { verb: "create", object, effect: Effect::Write, what };
        let text = ClusterError::from(failure).to_string();
        assert_eq!(text, "Lease shop/zdd-deployment-web: namespaces \"shop\" not found");
    }

    #[test]
    fn unclear_ends_are_unknown_for_writes_only() {
        let closed = || kube::Error::Service("connection closed".into());
        let garbage = || serde_json::from_str::<u8>("{").unwrap_err();
        for what in [
            answered(500, "etcdserver: request timed out"),
            answered(502, ""),
            answered(504, "timeout"),
            What::Broken(closed().into()),
            What::Late(Duration::from_secs(10)),
        ] {
            check(Effect::Read, what.clone(), "Unavailable");
            check(Effect::Write, what, "Unknown");
        }
        check(Effect::Write, What::Unreadable(garbage().into()), "Unknown");
        check(Effect::Read, What::Unreadable(garbage().into()), "Refused");
        check(Effect::Write, What::NotSent(closed().into()), "Unavailable");
    }

    #[test]
    fn a_refusal_by_admission_is_not_one_by_rights() {
        let rights = "deployments.apps \"web\" is forbidden: User \"ci\" cannot patch resource \
                      \"deployments\" in API group \"apps\" in the namespace \"default\"";
        check(Effect::Write, answered(403, rights), "Forbidden");
        for admission in [
            "admission webhook \"images.example.com\" denied the request: image is not signed",
            "pods \"web\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=6",
            "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\"",
        ] {
            check(Effect::Write, answered(403, admission), "Refused");
        }
    }
}
