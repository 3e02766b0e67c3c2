//! The public behaviour of the embedded cluster.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]
#![cfg_attr(
    feature = "process",
    expect(clippy::wildcard_enum_match_arm, reason = "a test names the events that it waits for")
)]

mod api;
mod daemon_set;
mod data_plane;
mod deployment;
mod endpoint_slice;
mod garbage;
mod history;
mod invariant;
#[cfg(feature = "cli")]
mod kubectl;
mod kubelet;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "process")]
mod proxy;
#[cfg(feature = "process")]
mod real_pods;
#[cfg(feature = "process")]
mod real_rollout;
mod stateful_set;
mod support;
#[cfg(feature = "process")]
mod web;
