//! SIGTERM drain for axum, hyper, tonic and plain tokio: no request is lost when a pod ends.

#[cfg(not(loom))]
mod budget;
#[cfg(all(not(loom), feature = "hyper"))]
mod conn;
#[cfg(not(loom))]
mod coordinator;
mod counter;
#[cfg(not(loom))]
mod env;
#[cfg(not(loom))]
mod finish;
#[cfg(not(loom))]
mod force;
#[cfg(not(loom))]
mod guard;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod hooks;
#[cfg(all(not(loom), feature = "tower"))]
mod layer;
#[cfg(all(not(loom), feature = "hyper"))]
mod listen;
#[cfg(not(loom))]
mod machine;
mod phase;
#[cfg(not(loom))]
mod readiness;
#[cfg(not(loom))]
mod reason;
#[cfg(not(loom))]
mod report;
#[cfg(all(not(loom), feature = "hyper"))]
mod server;
#[cfg(not(loom))]
mod settings;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod shutdown;
#[cfg(not(loom))]
mod signal;
#[cfg(not(loom))]
mod tasks;

pub use phase::Phase;

#[cfg(all(not(loom), feature = "tower"))]
pub use layer::{DrainBody, DrainFuture, DrainLayer, DrainService};
#[cfg(not(loom))]
pub use {
    budget::{BudgetError, LameDuck, Warning},
    env::EnvError,
    guard::Guard,
    handle::ShutdownHandle,
    hooks::{Hook, HookError, HookOutcome, Stage},
    readiness::Readiness,
    reason::{Reason, Signal},
    report::{ConnectionReport, HookEnd, HookReport, PhaseReport, Report},
    settings::{IdleClose, ReadinessPolicy, ReadyWhen, SecondSignal},
    shutdown::{Builder, InstallError, Shutdown},
};
#[cfg(all(not(loom), feature = "hyper"))]
pub use {
    conn::{service::RequestBody, streams::StreamTasks},
    listen::{Backlog, Listener},
    server::{Server, serve},
};
