//! zdd-kube against the embedded cluster, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod lease;
mod requests;
mod rollout;
mod support;
