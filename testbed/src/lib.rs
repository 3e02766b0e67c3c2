//! A real Kubernetes for tests: started in seconds, gone when it ends.
//!
//! Nothing is installed and nothing of the machine is configured. Kubernetes and etcd are built by
//! `go build` from the two tool modules beside this crate; certificates, images and configuration
//! are made here. There are two levels: the *control plane* (etcd, API server, controllers) runs
//! as anybody; the *node* (scheduler, kubelet, containerd, kube-proxy besides) runs as root in one
//! box of namespaces, so that its addresses, mounts and processes do not exist outside.
//!
//! Three processes stand in a row, and the death of one ends those after it:
//!
//! ```text
//! up ──▶ keeper ──▶ supervisor ──▶ etcd, kube-apiserver, …
//! ```
//!
//! The keeper holds the lock of the state folder and clears it at the end, however that comes
//! about. The supervisor is the parent of all components; on the node level it is the first
//! process of the box, and the kernel ends the box with it.

mod cli;
mod config;
mod control;
mod image;
mod keeper;
mod launch;
mod machine;
mod network;
mod paths;
mod pki;
mod plan;
mod probe;
mod room;
mod start;
mod state;
mod supervisor;
mod testbed;
mod tools;
mod truth;

pub use crate::cli::Testbed as Cli;
pub use crate::control::{Condition, Status};
pub use crate::launch::dispatch;
pub use crate::machine::{Lack, Machine};
pub use crate::plan::{Component, Level};
pub use crate::state::{Event, Info, Stage};
pub use crate::testbed::{Lifetime, Options, Signal, Testbed};
pub use crate::tools::programs;
