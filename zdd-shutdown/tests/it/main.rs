//! Integration tests of the public API.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[cfg(unix)]
mod adapters;
#[cfg(unix)]
mod age;
mod bad_input;
mod cut_off;
mod events;
mod frames;
mod grpc;
mod hooks;
mod http1;
mod http2;
mod lifecycle;
#[cfg(unix)]
mod load;
mod metrics;
mod own_loop;
#[cfg(unix)]
mod process;
mod raw;
mod scenarios;
mod site;
mod sockets;
#[cfg(unix)]
mod systemd;
mod tls;
mod tonic_server;
#[cfg(unix)]
mod victim;
