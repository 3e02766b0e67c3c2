//! zdd-kube against the embedded cluster, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod faults;
mod journal;
mod lease;
mod outcomes;
mod requests;
mod rollout;
mod support;
mod watch;
