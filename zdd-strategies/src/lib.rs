//! Deployment strategies as pure decision functions, and health gates.
//!
//! | strategy | when |
//! |---|---|
//! | [`Rolling`] | one version may serve beside the other for a while |
//!
//! A strategy never waits, reads a clock or talks to a cluster: see
//! [`DeploymentStrategy`](zdd_core::DeploymentStrategy).

mod duration;
mod fail_fast;
pub mod gates;
mod rolling;

pub use fail_fast::FailFast;
pub use rolling::{InvalidRolling, Rolling, RollingConfig, Stage};
