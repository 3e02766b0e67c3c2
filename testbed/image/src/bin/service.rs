//! The service of the examples in a pod, and two services that shut down in other ways.
//!
//! `VARIANT` chooses: `zdd` is the examples' own, linked with `zdd-shutdown`; `graceful` shuts
//! down as axum's documentation shows it; `plain` does nothing about SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::signal::unix::{SignalKind, signal};
use zdd_testbed_image::web;

fn main() -> anyhow::Result<ExitCode> {
    let variant = std::env::var("VARIANT").unwrap_or_else(|_| "zdd".to_owned());
    let graceful = match &*variant {
        "zdd" => return web::main(),
        "graceful" => true,
        "plain" => false,
        other => bail!("VARIANT is {other:?}; it can be zdd, graceful or plain"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(graceful)).map(|()| ExitCode::SUCCESS)
}

async fn serve(graceful: bool) -> anyhow::Result<()> {
    let version = std::env::var("VERSION").unwrap_or_else(|_| "unknown".to_owned());
    let header = HeaderName::from_static(web::VERSION_HEADER);
    let app = Router::new()
        .route(
            "/",
            get(async move || {
                tokio::time::sleep(Duration::from_millis(5)).await;
                ([(header, version)], "hello\n")
            }),
        )
        .route("/livez", get(async || StatusCode::OK))
        .route("/readyz", get(async || StatusCode::OK));
    let address = SocketAddr::from(([0, 0, 0, 0], 8080));
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    let server = axum::serve(listener, app);
    if graceful {
        let mut terminate = signal(SignalKind::terminate())?;
        let ended = async move {
            terminate.recv().await;
        };
        server.with_graceful_shutdown(ended).await?;
    } else {
        server.await?;
    }
    Ok(())
}
