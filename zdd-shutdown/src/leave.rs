//! How a response asks its HTTP/1 client to go on elsewhere.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};

/// What of a request decides whether its response can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// By `Connection: close`.
    ByHeader,
    /// By `Connection: close`, unless the response opens the tunnel that was asked for.
    UnlessTunnel,
    /// Not in a response: HTTP/2 has GOAWAY, and forbids the header.
    NotByHeader,
}

impl Leave {
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        if request.version() > Version::HTTP_11 {
            Self::NotByHeader
        } else if *request.method() == Method::CONNECT {
            Self::UnlessTunnel
        } else {
            Self::ByHeader
        }
    }

    /// Makes the server close the connection after this response, and tells the client so.
    #[cold]
    pub(crate) fn ask<B>(self, response: &mut Response<B>) {
        // A connection that leaves HTTP ends by rules of its own.
        let leaves_http = match self {
            Self::NotByHeader => return,
            Self::UnlessTunnel => response.status().is_success(),
            Self::ByHeader => response.status() == StatusCode::SWITCHING_PROTOCOLS,
        };
        if !leaves_http {
            close(response.headers_mut());
        }
    }
}

/// Sets `close`, and keeps the other options: `upgrade`, for one, belongs to a 426.
fn close(headers: &mut HeaderMap) {
    let mut options = b"close".to_vec();
    let values = headers.get_all(header::CONNECTION);
    for option in values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
        let option = option.trim_ascii();
        let replaced = [&b""[..], b"close", b"keep-alive"];
        if !replaced.iter().any(|known| option.eq_ignore_ascii_case(known)) {
            options.extend_from_slice(b", ");
            options.extend_from_slice(option);
        }
    }
    // What valid values are made of is valid.
    let value =
        HeaderValue::try_from(options).unwrap_or_else(|_| HeaderValue::from_static("close"));
    headers.insert(header::CONNECTION, value);
}
