//! What the example programs share: the service they deploy, the cluster they
//! deploy it to, and how they show what happens.

pub mod embedded;
pub mod manifest;
pub mod pods;
pub mod requests;
pub mod web;
