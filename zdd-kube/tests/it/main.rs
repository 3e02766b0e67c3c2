//! zdd-kube against the embedded cluster, in virtual time, and against a real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod faults;
mod foreign;
mod journal;
mod lease;
mod outcomes;
mod race;
mod real;
mod requests;
mod rollout;
mod support;
mod watch;
