//! Kubernetes for zdd: observe, apply, verify, journal, lease, preflight.
//!
//! This is the only crate that reads or writes Kubernetes objects. [`backend`] gives the engine
//! of [`zdd_core`] everything it needs of a cluster; the parts can be used and replaced alone.
//!
//! # Retries
//! kube retries writes by default, behind the caller's back: a write whose answer was lost then
//! looks like one that failed, or happens twice. zdd has to know. Make the client with
//! [`client`], which turns that off; every operation here says what became of it, and the engine
//! decides.
//!
//! # Versions
//! Objects are read as documents of which this crate looks at the fields that it needs. It
//! selects no version of `k8s-openapi` and works with all of them.

mod announce;
mod apply;
mod client;
mod cluster;
mod completion;
mod failure;
mod fence;
mod journal;
mod lease;
mod names;
mod objects;
mod observe;
mod preflight;
mod prepare;
pub mod rbac;
mod requests;
mod resource;
mod snapshot;
mod trouble;
mod watch;

pub use client::{backend, client};
pub use cluster::KubeCluster;
pub use journal::KubeJournal;
pub use lease::KubeLease;
