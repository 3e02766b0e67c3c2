//! The examples as their users run them.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[cfg(all(unix, feature = "graceful-server"))]
mod graceful_server;
#[cfg(unix)]
mod manifest;
#[cfg(target_os = "linux")]
mod real;
#[cfg(unix)]
mod rolling;
#[cfg(unix)]
mod served;
#[cfg(all(unix, feature = "graceful-server"))]
mod services;
#[cfg(all(unix, feature = "graceful-server"))]
mod wire;
