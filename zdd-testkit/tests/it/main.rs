//! Strategies under faults, and proof that the harness bites.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod broken;
mod faults;
mod rolling;
