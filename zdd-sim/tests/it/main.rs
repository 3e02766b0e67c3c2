//! The public behaviour of the embedded cluster.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod api;
mod deployment;
#[cfg(feature = "process")]
mod proxy;
mod support;
