//! Plays scripts of API calls against zdd-sim and against a real control plane, and compares what
//! can be observed.
//!
//! A script is a file in `scripts/` that states one fact about Kubernetes in its first paragraph
//! and proves it by requests. Below each request stands what the real control plane answered, so
//! that a script is also its own record: zdd-sim is compared with the record on any machine, and
//! the record with the real control plane wherever there is one.
//!
//! No kubelet and no scheduler run on either side. Scripts play both.

pub mod catalogue;
mod command;
mod compare;
mod http;
mod names;
pub mod page;
mod path;
mod player;
mod pods;
pub mod script;
pub mod side;
mod watching;

pub use compare::difference;
pub use player::play;
