//! Strategies and gates, seen from outside: observation in, decision out.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod config;
mod gates;
mod rolling;
mod scene;
