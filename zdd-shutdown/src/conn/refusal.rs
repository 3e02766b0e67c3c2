//! What a request is told that comes after the time of requests is over.
//!
//! A request is refused only then: before, it is served, however late it is.
//! It is told so, and not cut with its connection, since a client that knows
//! that nothing has seen its request can send it again, even a POST.

use http::{HeaderValue, Request, Response, StatusCode, Version, header};

use crate::conn::driver::BoxError;

/// Seconds after which an HTTP/1 client may come back, to another process.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// With 503 and `Connection: close`.
    Response,
    /// With `REFUSED_STREAM`, by which HTTP/2 says that nothing was processed.
    /// To gRPC it is `UNAVAILABLE`, in a form that it may repeat by itself.
    Reset,
}

impl Refusal {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        if request.version() > Version::HTTP_11 { Self::Reset } else { Self::Response }
    }

    /// Returns what hyper makes the refusal of.
    pub(crate) fn into_result<B: Default>(self) -> Result<Response<B>, BoxError> {
        match self {
            Self::Reset => Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into()),
            Self::Response => {
                let mut response = Response::new(B::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
                Ok(response)
            }
        }
    }
}
