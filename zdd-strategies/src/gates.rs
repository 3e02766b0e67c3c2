//! Ready-made health gates.

mod available;
mod threshold;

pub use available::Available;
pub use threshold::{Bound, Threshold};
