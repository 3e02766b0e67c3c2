//! Plays every script.

mod page;
mod real;
mod sim;
