//! The client against real sockets, and against servers that misbehave in each way.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod arrival;
mod failures;
#[cfg(feature = "http2")]
mod http2;
mod keep_alive;
mod server;
