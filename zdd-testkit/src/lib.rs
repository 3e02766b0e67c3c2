//! Lab and fault harness for deployment strategies.
//!
//! A [`Lab`] is an embedded Kubernetes in virtual time with one workload that
//! serves requests. The harness runs a [`Scenario`] on such labs again and
//! again: once without a fault ([`Scenario::reference`]), once per API request
//! and kind of fault ([`Scenario::every_fault`]), and with seeded pairs of
//! faults and foreign edits ([`Scenario::seeds`]). After each run it checks that
//! no request was lost, that every safety rule was kept at every event, and that
//! the end is the same.
//!
//! A new strategy gets all of it by one line:
//!
//! ```no_run
//! use zdd_testkit::Scenario;
//! # use zdd_core::{Decision, DeploymentStrategy, Observation};
//! # struct MyStrategy;
//! # impl DeploymentStrategy for MyStrategy {
//! #     fn name(&self) -> &str { "mine" }
//! #     fn next(&self, _: &Observation<'_>) -> Decision { Decision::Finish }
//! # }
//!
//! Scenario::new("mine", || MyStrategy).every_fault().expect_none();
//! ```

mod checks;
mod edit;
mod end;
mod lab;
mod lull;
mod manifest;
mod run;
mod scenario;
mod search;
mod trial;

pub use edit::Edit;
pub use end::{Changes, End};
pub use lab::{Lab, collection};
pub use lull::{Lull, Still};
pub use manifest::{service, template, workload};
pub use run::Observed;
pub use scenario::{Goal, Scenario};
pub use search::{Failure, Findings};
pub use trial::{Trial, TrialError};
