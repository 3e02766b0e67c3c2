//! Against a real Kubernetes: `cargo xtask test --stage node` brings it up.

mod pods;
