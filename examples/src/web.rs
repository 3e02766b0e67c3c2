//! The service that the examples deploy: axum, linked with `zdd-shutdown`.
//!
//! It says which version it is, answers probes and gRPC health checks, and loses no request when
//! its pod ends. `FAIL=crash` and `FAIL=never-ready` make it the bad version that
//! an automatic rollback is for. `READINESS=at-close` keeps it ready for as long
//! as it accepts, and `FAREWELL=HOST:PORT` has it say goodbye to a server there
//! after its last request, as to a database.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream};
use zdd_shutdown::{Readiness, ReadinessPolicy, Shutdown, Stage};

/// The response header that names the version.
pub const VERSION_HEADER: &str = "x-version";

/// How the service misbehaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fail {
    Crash,
    Never,
    NeverReady,
}

/// Serves until SIGTERM, as the environment says: `VERSION`, `POD_IP`, `PORT`, `FAIL`,
/// `READINESS`, `FAREWELL`.
///
/// Returns the exit code of the shutdown report: 0 when everything was drained.
///
/// # Errors
/// When the environment does not make sense or the address is taken.
#[expect(clippy::print_stderr, reason = "the log of a pod")]
pub fn main() -> anyhow::Result<ExitCode> {
    let fail = match std::env::var("FAIL").as_deref() {
        Ok("crash") => Fail::Crash,
        Ok("never-ready") => Fail::NeverReady,
        Ok("" | "no") | Err(_) => Fail::Never,
        Ok(other) => bail!("FAIL is {other:?}; it can be crash, never-ready or no"),
    };
    if fail == Fail::Crash {
        bail!("this version crashes at the start, as it was told to");
    }
    let policy = match std::env::var("READINESS").as_deref() {
        Ok("at-close") => ReadinessPolicy::FlipAtClose,
        Ok("" | "at-signal") | Err(_) => ReadinessPolicy::FlipAtSignal,
        Ok(other) => bail!("READINESS is {other:?}; it can be at-signal or at-close"),
    };
    let builder = Shutdown::builder().readiness(policy).from_env();
    let shutdown = builder.install().context("failed to install the shutdown")?;
    for warning in shutdown.warnings() {
        eprintln!("warning: {warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(shutdown, fail))
}

#[expect(clippy::print_stderr, reason = "the log of a pod")]
async fn serve(shutdown: Shutdown, fail: Fail) -> anyhow::Result<ExitCode> {
    let address =
        SocketAddr::new(variable("POD_IP", IpAddr::from([0, 0, 0, 0]))?, variable("PORT", 8080)?);
    let version: String = variable("VERSION", "unknown".to_owned())?;
    let probes = Router::new()
        .route("/livez", get(async || StatusCode::OK))
        .route(
            "/readyz",
            get(move |State(readiness): State<Readiness>| async move {
                let ready = fail != Fail::NeverReady && readiness.is_ready();
                if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
            }),
        )
        .with_state(shutdown.readiness());
    let (_, health) = shutdown.grpc_health();
    let app = Router::new()
        .route("/", get(move || hello(version.clone())))
        .route_service("/grpc.health.v1.Health/{*method}", health)
        .merge(probes);
    if let Ok(server) = std::env::var("FAREWELL") {
        let goodbye = async move { TcpStream::connect(server).await.map(drop) };
        shutdown.on_shutdown(Stage::Database, "farewell", goodbye)?.required();
    }
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    zdd_shutdown::serve(listener, app, &shutdown.handle()).await?;
    let report = shutdown.finish().await;
    eprintln!("{report}");
    Ok(report.into())
}

/// Answers after a few milliseconds, so that there is always something in flight.
async fn hello(version: String) -> ([(HeaderName, String); 1], &'static str) {
    tokio::time::sleep(Duration::from_millis(5)).await;
    ([(HeaderName::from_static(VERSION_HEADER), version)], "hello\n")
}

fn variable<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    default: T,
) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(value) => Ok(value),
            Err(error) => bail!("{name} is {text:?}: {error}"),
        },
        Err(_) => Ok(default),
    }
}
