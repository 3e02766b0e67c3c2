//! The testbed as people use it: by its commands, in processes of their own.
//!
//! Tests that bring one up are ignored, for they need parts that a machine may lack:
//! `cargo xtask test --stage testbed,node-testbed` runs them where those parts are.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod control_plane;
mod node;
mod support;
