//! SIGTERM drain for axum, hyper, tonic and plain tokio: no request is lost when a pod ends.
//!
//! ```text
//! signal                                                              deadline
//!   │                                                                    │
//!   ├── LameDuck ───┬── Draining ─────┬── Closing ──────┬── Hooks ──┬ exit
//!   │               │                 │                 │           │
//!   │ still serves  │ still accepts   │ listener closed │ by stage  │ report,
//!   │ not ready     │ GOAWAY, idle    │ after its queue │ time-boxed│ exit code
//!   │ clients are   │ connections end │ was emptied     │           │
//!   │ asked to move │ streams say bye │ requests finish │           │
//!   └ quiet? ───────┴ drained? ───────┴ nothing left? ──┴ all done? ┘
//! ```
//!
//! Every phase ends as soon as its question is answered, and at its share of
//! the one deadline at the latest. At the deadline a watchdog thread ends the
//! process, even if every worker of the runtime is blocked.
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use zdd_shutdown::{Reason, Shutdown, Stage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = Shutdown::install()?; // before the runtime
//! let runtime = tokio::runtime::Runtime::new()?;
//! let report = runtime.block_on(async {
//!     let app = Router::new()
//!         .route("/", get(|| async { "hello" }))
//!         .merge(shutdown.probe_routes());
//!     shutdown.on_shutdown(Stage::Database, "pool", async { /* pool.close().await */ })?;
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #   let handle = shutdown.handle();
//! #   let _ended = handle.trigger(Reason::Completed);
//!     zdd_shutdown::serve(listener, app, &shutdown).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(shutdown.finish().await)
//! })?;
//! assert_eq!(report.exit_code(), 0);
//! // report.exit() ends the process with that code
//! # Ok(())
//! # }
//! ```
//!
//! # Ways in
//!
//! | way | for | counts requests | connections | loses no request |
//! |---|---|---|---|---|
//! | [`layer`](ShutdownHandle::layer) and [`stop_accepting`](ShutdownHandle::stop_accepting) | any tower server | yes | no | nearly |
//! | and [`listener`](ShutdownHandle::listener) | `axum::serve`, tonic's own server | yes | yes, upgraded ones too | nearly |
//! | [`serve`], [`Server`] | axum, tonic, hyper, tower | yes | yes | yes |
//! | [`Server::serve_connection`] | the same, with an accept loop of your own | yes | yes | yes |
//!
//! "Nearly", since the server then closes idle connections by its own rules:
//! a request that is on its way to such a connection is lost. A program
//! without HTTP uses [`guard`](ShutdownHandle::guard),
//! [`spawn`](ShutdownHandle::spawn) and the waiting methods of the handle.
//!
//! What remains even with the serve loop is physics: over HTTP/1, a request
//! can cross the server's close of an idle connection on the wire. The lame
//! duck makes that rare; [`IdleClose::WaitForPeer`] excludes it.
//!
//! # Requests that come too late
//!
//! No request is refused while there is time left: a 503 is a failed request
//! too. When the time of requests is over, one can still come, on a connection
//! that another request or [`IdleClose::WaitForPeer`] keeps open, and to a
//! runtime that was stuck. The serve loop then tells its client that nothing
//! has seen it: 503 with `Connection: close` and `Retry-After` over HTTP/1,
//! `REFUSED_STREAM` over HTTP/2, which gRPC clients know as `UNAVAILABLE`. Such
//! requests are [`Report::refused`]. The layer refuses nothing, ever.
//!
//! # Settings of the pod
//!
//! `terminationGracePeriodSeconds` includes the `preStop` hook and has to
//! exceed `preStop` and the deadline by 3 s: **35 s for the defaults**. Put the
//! value into `ZDD_TERMINATION_GRACE`, and the deadline is brought forward,
//! with a warning, where it does not fit; see [`Builder::from_env`].
//!
//! A liveness probe that restarts the container sends SIGTERM without deleting
//! the pod, so that only the readiness probe moves traffic away: the lame duck
//! has to be longer than its `periodSeconds × failureThreshold`.
//!
//! # Time
//!
//! All durations are counted by the monotonic clock: a clock that is set
//! changes nothing, and time in which the machine is suspended does not count.
//! A process that is stopped (SIGSTOP) finds on waking that its time has passed.
//!
//! The phases are moved by threads, which live in real time. Under tokio's
//! paused time they move on while the time of the test stands still; use short
//! durations instead.
//!
//! # Dependencies
//!
//! | crate | why | when |
//! |---|---|---|
//! | tokio | timers, `watch`, tasks | always; `rt`, `sync`, `time`, `macros` only |
//! | signal-hook | signals on a thread that works while the runtime hangs, an exit that waits for nothing | always, on Unix |
//! | tracing | phases and the report in the log of the program | always |
//! | thiserror | errors | always |
//! | pin-project-lite | futures and bodies without `unsafe` | always |
//! | http, http-body, tower-layer, tower-service | the layer: traits and types, no machinery | `tower` (default) |
//! | hyper, hyper-util | HTTP/1 and HTTP/2 | `hyper` |
//! | h2 | the code by which a stream is refused; hyper brings it | `hyper` |
//! | futures-core | the listener as a `Stream`; hyper brings it | `hyper` |
//! | socket2 | a look into a socket before it is closed, which tokio does not have | `hyper` |
//! | bytes | what hyper's bodies are made of | `hyper` |
//! | axum | probe routes, its `Listener` | `axum` |
//! | tokio-rustls | TLS | `tls` |
//! | tonic, tonic-health | gRPC health, addresses for tonic's own server | `tonic` |
//! | metrics | gauges and counters for the program's recorder | `metrics` |
//! | tokio-util | phases as cancellation tokens | `tokio-util` |
//! | listenfd | sockets that systemd opened, without `unsafe` here | `systemd` |
//! | serde | the report as data | `serde` |
//!
//! `cargo tree -p zdd-shutdown --edges normal` shows what they bring along.

#[cfg(feature = "hyper")]
mod accepted;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tower")]
mod body;
mod budget;
mod builder;
#[cfg(feature = "hyper")]
mod conn;
mod coordinator;
mod counter;
#[cfg(feature = "tower")]
mod end_on_drain;
mod env;
mod finish;
mod force;
#[cfg(feature = "hyper")]
mod forward;
#[cfg(feature = "tonic")]
mod grpc;
mod guard;
mod handle;
mod hooks;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "tower")]
mod leave;
#[cfg(feature = "hyper")]
mod listen;
mod machine;
#[cfg(feature = "metrics")]
mod metrics;
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
mod silence;
mod sync;
#[cfg(all(feature = "systemd", unix))]
mod systemd;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio-util")]
mod token;
#[cfg(feature = "hyper")]
mod tracked;

pub use phase::Phase;

#[cfg(feature = "hyper")]
pub use {
    accepted::Accepted,
    conn::{service::RequestBody, streams::StreamTasks},
    listen::{Backlog, Listener},
    server::{Server, serve},
    tracked::{TrackedIo, TrackedListener},
};
pub use {
    budget::{BudgetError, LameDuck, Warning},
    builder::{Builder, InstallError},
    env::EnvError,
    guard::Guard,
    handle::ShutdownHandle,
    hooks::{Hook, HookError, HookOutcome, Stage},
    readiness::Readiness,
    reason::{Reason, Signal},
    report::{ConnectionReport, HookEnd, HookReport, PhaseReport, Report},
    settings::{IdleClose, ReadinessPolicy, ReadyWhen, SecondSignal},
    shutdown::Shutdown,
};
#[cfg(feature = "tower")]
pub use {
    end_on_drain::EndOnDrain,
    layer::{DrainBody, DrainFuture, DrainLayer, DrainService},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
