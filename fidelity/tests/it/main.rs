//! Plays every script.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod page;
mod real;
mod sim;
