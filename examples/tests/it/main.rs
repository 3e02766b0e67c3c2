//! The examples as their users run them.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[cfg(unix)]
mod graceful_server;
#[cfg(unix)]
mod manifest;
#[cfg(unix)]
mod rolling;
#[cfg(unix)]
mod services;
#[cfg(unix)]
mod wire;
