//! Against a real API server, and on the node level against real pods.
//!
//! `cargo xtask test --stage control-plane,node` brings a testbed up for these tests.

mod audit;
mod cluster;
mod kubelet;
mod requests;
mod role;
mod rollout;
