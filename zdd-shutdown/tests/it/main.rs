//! Integration tests of the public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod frames;
mod http1;
mod http2;
mod lifecycle;
mod raw;
mod site;
