//! zdd-shutdown, at two levels.

use std::net::TcpListener;

use axum::Router;
use zdd_shutdown::{Report, Shutdown};

use crate::announce;

/// The serve loop.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<Report> {
    announce(&listener)?;
    zdd_shutdown::serve(tokio::net::TcpListener::from_std(listener)?, router, &shutdown).await?;
    Ok(shutdown.finish().await)
}

/// The layer on `axum::serve`, for those who cannot change their server.
pub(crate) async fn layer(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<Report> {
    announce(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    shutdown.readiness().mark_ready();
    let stop = shutdown.handle();
    axum::serve(listener, router.layer(shutdown.layer()))
        .with_graceful_shutdown(async move { stop.stop_accepting().await })
        .await?;
    Ok(shutdown.finish().await)
}
