//! SIGTERM drain for axum, hyper, tonic and plain tokio: no request is lost when a pod ends.

#[cfg(feature = "axum")]
mod axum;
mod budget;
#[cfg(feature = "hyper")]
mod conn;
mod coordinator;
mod counter;
mod env;
mod finish;
mod force;
#[cfg(feature = "tonic")]
mod grpc;
mod guard;
mod handle;
mod hooks;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "hyper")]
mod listen;
mod machine;
mod phase;
mod readiness;
mod reason;
mod report;
#[cfg(feature = "hyper")]
mod server;
mod settings;
mod shared;
mod shutdown;
mod signal;
mod sync;
#[cfg(all(feature = "systemd", unix))]
mod systemd;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "hyper")]
mod tracked;

pub use phase::Phase;

#[cfg(feature = "tower")]
pub use layer::{DrainBody, DrainFuture, DrainLayer, DrainService};
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
#[cfg(feature = "hyper")]
pub use {
    conn::{service::RequestBody, streams::StreamTasks},
    listen::{Backlog, Listener},
    server::{Server, serve},
    tracked::{TrackedIo, TrackedListener},
};
