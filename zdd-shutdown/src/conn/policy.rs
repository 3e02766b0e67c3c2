//! What to do with a connection while the process drains: decided from facts
//! and a clock that is passed in, done by the driver.

use std::time::Duration;

use crate::settings::{IdleClose, Limits};

/// What is spoken on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How the connection looks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) protocol: Protocol,
    /// Requests or streams that have not ended.
    pub(crate) in_flight: usize,
    /// Those of them whose handler waits for the client to send.
    pub(crate) awaiting_body: usize,
    /// Those of them whose response has begun.
    pub(crate) responding: usize,
    /// Requests that ended, ever.
    pub(crate) served: u64,
    /// Bytes that came in since the last request ended: a head that is not complete.
    pub(crate) partial_head: bool,
    pub(crate) read: u64,
    pub(crate) written: u64,
    pub(crate) write_blocked: bool,
}

impl Facts {
    /// Returns whether nothing would be lost if the connection ended now.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0 && !self.partial_head && !self.write_blocked
    }
}

/// What the driver shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Wait,
    /// Close it unless a request is waiting in the socket.
    CloseIdle,
    /// Tell an HTTP/2 client to open no more streams.
    GoAway,
    /// End it, whatever the client thinks.
    Cut(Cut),
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// An HTTP/2 client without streams does not answer the PING.
    NoPong,
    /// A request head takes too long.
    SlowHead,
    /// A request body stalls.
    StalledBody,
    /// The client does not read the response.
    StalledReader,
}

impl Cut {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoPong => "no answer to ping",
            Self::SlowHead => "request head too slow",
            Self::StalledBody => "request body stalled",
            Self::StalledReader => "response not read",
        }
    }
}

/// Watches one connection from the beginning of Draining on. Times are
/// durations since then.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    /// Spreads the GOAWAYs, so that clients do not reconnect all at once.
    goaway_at: Duration,
    last: Option<Facts>,
    /// Since when no request has been in flight.
    empty_since: Duration,
    read_since: Duration,
    written_since: Duration,
    goaway_sent: Option<Duration>,
}

impl Watch {
    pub(crate) fn new(limits: Limits, number: u64) -> Self {
        Self {
            goaway_at: jitter(number, limits.sweep.min(Duration::from_secs(1))),
            limits,
            last: None,
            empty_since: Duration::ZERO,
            read_since: Duration::ZERO,
            written_since: Duration::ZERO,
            goaway_sent: None,
        }
    }

    /// Looks at the connection at `now`.
    pub(crate) fn look(&mut self, now: Duration, facts: Facts) -> Action {
        self.note_progress(now, facts);
        let action = if facts.in_flight > 0 {
            self.busy(now, facts)
        } else {
            match facts.protocol {
                Protocol::Http1 => self.http1_empty(now, facts),
                Protocol::Http2 => self.http2_empty(now),
            }
        };
        let goaway_due = facts.protocol == Protocol::Http2
            && self.goaway_sent.is_none()
            && now >= self.goaway_at;
        if goaway_due && action == Action::Wait {
            self.goaway_sent = Some(now);
            return Action::GoAway;
        }
        action
    }

    fn note_progress(&mut self, now: Duration, facts: Facts) {
        let last = self.last.replace(facts).unwrap_or(facts);
        // Requests that came and went between two looks count too.
        if facts.in_flight > 0 || facts.served != last.served {
            self.empty_since = now;
        }
        if facts.read != last.read {
            self.read_since = now;
        }
        if facts.written != last.written || !facts.write_blocked {
            self.written_since = now;
        }
    }

    /// A request may take its time as long as it is the server that takes it.
    fn busy(&self, now: Duration, facts: Facts) -> Action {
        let limit = self.limits.slow_client;
        if facts.write_blocked && now.saturating_sub(self.written_since) >= limit {
            return Action::Cut(Cut::StalledReader);
        }
        // Once it responds, a request is a stream, whose client need not send.
        let all_wait = facts.responding == 0 && facts.awaiting_body >= facts.in_flight;
        if all_wait && now.saturating_sub(self.read_since) >= limit {
            return Action::Cut(Cut::StalledBody);
        }
        Action::Wait
    }

    fn http1_empty(&self, now: Duration, facts: Facts) -> Action {
        let empty_for = now.saturating_sub(self.empty_since);
        // Not the time since the last byte: a byte a second would hold for ever.
        if facts.partial_head {
            return if empty_for >= self.limits.slow_client {
                Action::Cut(Cut::SlowHead)
            } else {
                Action::Wait
            };
        }
        // A response can wait for its reader after its body was handed over.
        if facts.write_blocked {
            return if now.saturating_sub(self.written_since) >= self.limits.slow_client {
                Action::Cut(Cut::StalledReader)
            } else {
                Action::Wait
            };
        }
        match self.limits.idle_close {
            IdleClose::AfterSweep if empty_for >= self.limits.sweep => Action::CloseIdle,
            IdleClose::AfterSweep | IdleClose::WaitForPeer => Action::Wait,
        }
    }

    fn http2_empty(&self, now: Duration) -> Action {
        let Some(sent) = self.goaway_sent else { return Action::Wait };
        // Streams may have run since; the client was busy with them.
        let silent_for = now.saturating_sub(sent.max(self.empty_since));
        if silent_for >= self.limits.pong_cap { Action::Cut(Cut::NoPong) } else { Action::Wait }
    }
}

/// Spreads connections evenly over `span` by their number.
fn jitter(number: u64, span: Duration) -> Duration {
    // Multiples of the golden ratio.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let fraction = number.wrapping_mul(GOLDEN) as f64 / u64::MAX as f64;
    span.mul_f64(fraction)
}

#[cfg(test)]
mod tests;
