//! The first bytes of a connection tell HTTP/1 from HTTP/2.
//!
//! Done here and not by hyper-util's `auto` connection, since that one drops
//! the connection when asked to shut down before it has made up its mind:
//! with it goes the request of every client that had just connected.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::{conn::policy::Protocol, forward::forward_write};

/// What a client of HTTP/2 sends before its first frame.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until the protocol is known; `None` when the peer closed first.
pub(crate) async fn sniff<I>(io: &mut I, seen: &mut BytesMut) -> io::Result<Option<Protocol>>
where
    I: AsyncRead + Unpin,
{
    loop {
        if let Some(protocol) = tell(seen) {
            return Ok(Some(protocol));
        }
        if io.read_buf(seen).await? == 0 {
            return Ok(None);
        }
    }
}

/// Tells the protocol, if the bytes suffice.
fn tell(seen: &[u8]) -> Option<Protocol> {
    let common = seen.len().min(PREFACE.len());
    if seen[..common] != PREFACE[..common] {
        Some(Protocol::Http1)
    } else if common == PREFACE.len() {
        Some(Protocol::Http2)
    } else {
        None
    }
}

/// An IO whose first bytes were read already.
#[derive(Debug)]
pub(crate) struct Rewound<I> {
    seen: Bytes,
    io: I,
}

impl<I> Rewound<I> {
    pub(crate) fn new(seen: Bytes, io: I) -> Self {
        Self { seen, io }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let len = self.seen.len().min(buf.remaining());
        buf.put_slice(&self.seen[..len]);
        self.seen.advance(len);
        Poll::Ready(Ok(()))
    }
}

forward_write!(Rewound<I>, io);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_decides() {
        let cases: [(&[u8], _); 6] = [
            (b"", None),
            (b"P", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"POST / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Some(Protocol::Http2)),
        ];
        for (seen, expected) in cases {
            assert_eq!(tell(seen), expected, "{}", seen.escape_ascii());
        }
    }

    #[tokio::test]
    async fn what_was_sniffed_is_read_again() {
        let (mut client, mut server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1").await.unwrap();
        drop(client);
        let mut seen = BytesMut::new();
        assert_eq!(sniff(&mut server, &mut seen).await.unwrap(), Some(Protocol::Http1));
        let mut all = Vec::new();
        Rewound::new(seen.freeze(), server).read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"GET / HTTP/1.1");
    }
}
