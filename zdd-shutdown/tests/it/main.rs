//! Integration tests of the public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod http1;
mod lifecycle;
mod raw;
mod site;
