//! The head of a response.

use crate::cause::{Cause, Failure};

const MAX_HEADERS: usize = 64;

/// How the end of the body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length(u64),
    UntilClose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    pub(crate) keep: bool,
    pub(crate) label: Option<String>,
}

impl Head {
    /// Parses a head from the start of `bytes` and returns it with its length; `None` when it is not complete.
    pub(crate) fn parse(
        bytes: &[u8],
        label: Option<&str>,
    ) -> Result<Option<(Self, usize)>, Failure> {
        let malformed = |detail: &str| Failure::new(Cause::Malformed, detail);
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(malformed(&error.to_string())),
        };
        // Both are set when the parser says that the head is complete.
        let (status, version) = (response.code.unwrap_or(0), response.version.unwrap_or(0));
        let mut head =
            Self { status, framing: Framing::UntilClose, keep: version == 1, label: None };
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if label.is_some_and(is) {
                head.label = Some(value.to_string());
            }
            if is("connection") {
                head.keep = keeps(&value, head.keep);
            } else if is("transfer-encoding") && lists(&value, "chunked") {
                head.framing = Framing::Chunked;
            } else if is("content-length") && head.framing != Framing::Chunked {
                let length = value
                    .trim()
                    .parse()
                    .map_err(|_| malformed("content-length is not a number"))?;
                if matches!(head.framing, Framing::Length(other) if other != length) {
                    return Err(malformed("two different content-length headers"));
                }
                head.framing = Framing::Length(length);
            }
        }
        if matches!(status, 100..200 | 204 | 304) {
            head.framing = Framing::Length(0);
        }
        Ok(Some((head, length)))
    }
}

fn keeps(value: &str, default: bool) -> bool {
    if lists(value, "close") { false } else { default || lists(value, "keep-alive") }
}

fn lists(value: &str, wanted: &str) -> bool {
    value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn head(text: &str) -> Head {
        let (head, length) = Head::parse(text.as_bytes(), Some("X-Version")).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn framing_and_reuse_follow_the_headers() {
        let plain = head("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-version: v2\r\n\r\n");
        assert_eq!(
            plain,
            Head { status: 200, framing: Framing::Length(5), keep: true, label: Some("v2".into()) }
        );
        let close = head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, Close\r\n\r\n");
        assert!(!close.keep);
        let chunked =
            head("HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(chunked.framing, Framing::Chunked);
        let chunked =
            head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n");
        assert_eq!(chunked.framing, Framing::Chunked);
        assert_eq!(head("HTTP/1.1 200 OK\r\n\r\n").framing, Framing::UntilClose);
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").framing, Framing::Length(0));
        assert!(!head("HTTP/1.0 200 OK\r\n\r\n").keep);
        assert!(head("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n").keep);
    }

    #[test]
    fn an_incomplete_head_is_not_an_error_and_nonsense_is() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ncont", None).unwrap().is_none());
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ] {
            let failure = Head::parse(bad.as_bytes(), None).unwrap_err();
            assert_eq!(failure.cause, Cause::Malformed, "{bad:?}");
        }
    }
}
