//! The engine, seen from outside, on a small cluster in memory.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod commands;
mod crash;
mod gates;
mod ideal;
mod invariants;
mod lag;
mod lease;
mod plan;
mod report;
mod rollback;
mod state;
mod takeover;
mod timeline;
