//! What runs in the pods of the testbed.

// The source is the examples' own. Their package is not: it would be built with all that it needs.
#[path = "../../../examples/src/web.rs"]
pub mod web;
