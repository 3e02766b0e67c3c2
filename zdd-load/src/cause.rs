//! Why a request failed.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a request failed; each failed request has exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Cause { $($(#[$doc])* $name,)+ }

        impl Cause {
            /// Every cause, in the order in which reports list them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the name used in reports.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

causes! {
    /// No endpoint was there to connect to.
    NoEndpoint = "no-endpoint",
    /// The resolver gave an address that load must not go to.
    ForbiddenAddress = "forbidden-address",
    /// The connection was refused.
    ConnectRefused = "connect-refused",
    /// The connection was reset before it was established.
    ConnectReset = "connect-reset",
    /// The connection was not established in time.
    ConnectTimeout = "connect-timeout",
    /// The connection could not be established for another reason.
    ConnectFailed = "connect-failed",
    /// This machine had no port or file descriptor left; the server is not to blame.
    ClientExhausted = "client-exhausted",
    /// The connection was reset after the request was sent and before the first byte of the response.
    ResetBeforeResponse = "reset-before-response",
    /// The connection was closed after the request was sent and before the first byte of the response.
    ClosedBeforeResponse = "closed-before-response",
    /// The connection was reset inside the response.
    ResetMidResponse = "reset-mid-response",
    /// The connection was closed inside the response.
    ClosedMidResponse = "closed-mid-response",
    /// The response was not complete in time.
    Timeout = "timeout",
    /// The server answered with a status of the 400s.
    #[serde(rename = "http-4xx")]
    Http4xx = "http-4xx",
    /// The server answered with a status of the 500s.
    #[serde(rename = "http-5xx")]
    Http5xx = "http-5xx",
    /// The server ended a gRPC call with another status than OK.
    GrpcStatus = "grpc-status",
    /// What the server sent is not HTTP.
    Malformed = "malformed",
    /// The server refused an HTTP/2 stream, by GOAWAY or REFUSED_STREAM, that the client was allowed to open.
    StreamRefused = "stream-refused",
    /// The server reset an HTTP/2 stream.
    StreamReset = "stream-reset",
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed request: the cause for the count, the detail for the reader.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }

    /// Classifies an error of `connect`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "std adds kinds; all others are one cause")]
    pub(crate) fn connect(error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let exhausted = matches!(error.raw_os_error(), Some(EMFILE | ENFILE));
        let cause = match error.kind() {
            _ if exhausted => Cause::ClientExhausted,
            K::AddrNotAvailable | K::AddrInUse => Cause::ClientExhausted,
            K::ConnectionRefused => Cause::ConnectRefused,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => Cause::ConnectReset,
            K::TimedOut => Cause::ConnectTimeout,
            _ => Cause::ConnectFailed,
        };
        Self::new(cause, error.to_string())
    }

    /// Classifies an error of a read or write after `received` bytes of the response.
    pub(crate) fn transfer(error: &io::Error, received: usize) -> Self {
        let cause = match (error.kind(), received) {
            (io::ErrorKind::UnexpectedEof, 0) => Cause::ClosedBeforeResponse,
            (io::ErrorKind::UnexpectedEof, _) => Cause::ClosedMidResponse,
            (_, 0) => Cause::ResetBeforeResponse,
            (_, _) => Cause::ResetMidResponse,
        };
        Self::new(cause, error.to_string())
    }

    /// Classifies the end of a stream after `received` bytes of the response.
    pub(crate) fn closed(received: usize) -> Self {
        let cause =
            if received == 0 { Cause::ClosedBeforeResponse } else { Cause::ClosedMidResponse };
        Self::new(cause, format!("closed by the server after {received} bytes of the response"))
    }
}

// The same on every Unix; `io::ErrorKind` has no stable name for either.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_connect(error: impl Into<io::Error>, cause: Cause) {
        assert_eq!(Failure::connect(&error.into()).cause, cause);
    }

    #[test]
    fn connect_errors_are_told_apart() {
        check_connect(io::ErrorKind::ConnectionRefused, Cause::ConnectRefused);
        check_connect(io::ErrorKind::ConnectionReset, Cause::ConnectReset);
        check_connect(io::ErrorKind::TimedOut, Cause::ConnectTimeout);
        check_connect(io::ErrorKind::NetworkUnreachable, Cause::ConnectFailed);
        check_connect(io::ErrorKind::AddrNotAvailable, Cause::ClientExhausted);
        check_connect(io::Error::from_raw_os_error(EMFILE), Cause::ClientExhausted);
    }

    #[test]
    fn a_reset_is_placed_by_what_was_received() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Failure::transfer(&reset, 0).cause, Cause::ResetBeforeResponse);
        assert_eq!(Failure::transfer(&reset, 1).cause, Cause::ResetMidResponse);
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::transfer(&pipe, 0).cause, Cause::ResetBeforeResponse);
    }

    #[test]
    fn the_serialised_name_is_the_printed_name() {
        for cause in Cause::ALL {
            let json = serde_json::to_string(cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
        }
    }
}
