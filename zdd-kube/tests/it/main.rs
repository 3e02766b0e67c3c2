//! zdd-kube against the embedded cluster, in virtual time.

mod rollout;
mod support;
