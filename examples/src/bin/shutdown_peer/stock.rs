//! The peers, each used as its own documentation shows.

use std::{net::TcpListener, time::Duration};

use axum::Router;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::announce;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// `axum::serve(..).with_graceful_shutdown(..)`.
pub(crate) async fn axum_serve(listener: TcpListener, router: Router) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    announce(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            term.recv().await;
        })
        .await?;
    Ok(())
}

/// axum-server with `Handle::graceful_shutdown`.
pub(crate) async fn axum_server(listener: TcpListener, router: Router) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    announce(&listener)?;
    let handle = axum_server::Handle::new();
    let tasks = TaskTracker::new();
    let ending = handle.clone();
    tasks.spawn(async move {
        term.recv().await;
        ending.graceful_shutdown(Some(Duration::from_secs(30)));
    });
    axum_server::from_tcp(listener)?.handle(handle).serve(router.into_make_service()).await?;
    Ok(())
}

/// The accept loop of hyper-util's `server_graceful` example.
pub(crate) async fn hyper_util<S, B>(listener: TcpListener, service: S) -> anyhow::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Boxed>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Boxed>> + Send + 'static,
{
    let mut term = signal(SignalKind::terminate())?;
    announce(&listener)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let service = TowerToHyperService::new(service.clone());
                let connection =
                    server.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let connection = graceful.watch(connection.into_owned());
                connections.spawn(async move {
                    // The client counts what it lost; there is nothing to add here.
                    let _ = connection.await;
                });
            }
            _ = term.recv() => break,
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => {}
    }
    Ok(())
}
