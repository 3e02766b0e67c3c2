//! Holds back the answer to the PING behind the first GOAWAY.
//!
//! h2 names its last stream the moment it reads the answer, and refuses what
//! comes behind it. Clients on the same crate answer before they send the
//! streams that they had queued, so that on a busy client dozens of them lie
//! right behind the answer. It waits here for a moment, and they are served.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{conn::first::PREFACE, forward::forward_write};

/// How long the answer waits. What is behind it was sent together with it, so that only a machine
/// without time to spare needs more than a moment.
const HOLD: Duration = Duration::from_millis(500);

const HEAD: usize = 9;
/// The answer as it comes: a PING with ACK, with the data that h2 sends for a shutdown.
const PONG: [u8; HEAD + 8] =
    [0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// The IO of a server in which the answer comes last, if the client speaks HTTP/2.
pub(crate) struct HeldPong<I> {
    io: I,
    place: Place,
    hold: Duration,
    held: Option<Held>,
}

/// The answer, while it is here.
struct Held {
    until: Pin<Box<Sleep>>,
    /// What of it is still to be read.
    left: &'static [u8],
}

/// Where in the frames the bytes that were read end.
struct Place {
    /// What of a client's first bytes is to come; none of a client that sent others, in
    /// which no frames are looked for.
    preface: Option<&'static [u8]>,
    /// Bytes until the next frame begins.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of `head` that have come.
    have: usize,
}

impl<I> HeldPong<I> {
    /// `patience` is how long a client may take for its answer: the hold is part of it.
    pub(crate) fn new(io: I, patience: Duration) -> Self {
        let place = Place { preface: Some(PREFACE), skip: 0, head: [0; HEAD], have: 0 };
        Self { io, place, hold: HOLD.min(patience / 2), held: None }
    }

    pub(crate) fn get_ref(&self) -> &I {
        &self.io
    }

    /// Gives the IO back; an answer that is held is lost with its client.
    pub(crate) fn into_inner(self) -> I {
        self.io
    }
}

impl Place {
    /// Goes on by `bytes`; returns where among them the answer is, if all of it is.
    fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        let preface = self.preface?;
        let mut at = preface.len().min(bytes.len());
        self.preface = bytes.starts_with(&preface[..at]).then_some(&preface[at..]);
        self.preface?;
        let mut found = None;
        while at < bytes.len() {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len() - at);
                self.skip -= step;
                at += step;
                continue;
            }
            let begun = self.have > 0;
            let step = (HEAD - self.have).min(bytes.len() - at);
            self.head[self.have..self.have + step].copy_from_slice(&bytes[at..at + step]);
            self.have += step;
            if self.have == HEAD {
                // One of which the beginning has been read already cannot be taken out.
                if !begun && bytes[at..].starts_with(&PONG) {
                    found = Some(at);
                }
                let [a, b, c, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.have = 0;
            }
            at += step;
        }
        found
    }

    fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.have == 0
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HeldPong<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let before = buf.filled().len();
            match Pin::new(&mut this.io).poll_read(cx, buf) {
                Poll::Pending => return this.poll_held(cx, buf),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            let Some(at) = this.place.pass(&buf.filled()[before..]) else {
                return Poll::Ready(Ok(()));
            };
            let at = before + at;
            let len = buf.filled().len();
            buf.filled_mut().copy_within(at + PONG.len()..len, at);
            buf.set_filled(len - PONG.len());
            this.held = Some(Held { until: Box::pin(sleep(this.hold)), left: &PONG });
            // To have read nothing would mean that the client had closed.
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<I> HeldPong<I> {
    /// Gives the answer out when its time has come and no frame is in the middle.
    fn poll_held(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(held) = &mut self.held else { return Poll::Pending };
        if held.until.as_mut().poll(cx).is_pending() || !self.place.is_between_frames() {
            return Poll::Pending;
        }
        let (now, later) = held.left.split_at(held.left.len().min(buf.remaining()));
        buf.put_slice(now);
        held.left = later;
        if later.is_empty() {
            self.held = None;
        }
        Poll::Ready(Ok(()))
    }
}

forward_write!(HeldPong<I>, io);

#[cfg(test)]
mod tests;
