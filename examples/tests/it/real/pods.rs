//! What `zdd-shutdown` promises, in pods of a real node.

mod endings;
mod namespace;
mod restarts;
