//! Strategies under faults, and proof that the harness bites.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "a search says how far it looked")]

mod broken;
mod faults;
mod rolling;
