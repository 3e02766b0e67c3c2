//! What axum needs besides the serve loop, which takes its `Router` as it is.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::StatusCode,
    routing::get,
};

use crate::{Readiness, Server, handle::ShutdownHandle};

impl ShutdownHandle {
    /// Returns routes for the kubelet: `/livez` and `/readyz`, to be merged
    /// into the program's own.
    ///
    /// They answer 200 or 503. Readiness follows [`Readiness::is_ready`],
    /// liveness [`Readiness::is_alive`], which stays true to the end.
    pub fn probe_routes<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self.readiness())
    }
}

async fn livez(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    answer(readiness.is_alive())
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    answer(readiness.is_ready())
}

fn answer(good: bool) -> (StatusCode, &'static str) {
    if good { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") }
}

impl Server {
    /// Lets handlers extract axum's `ConnectInfo<SocketAddr>`; costs one
    /// allocation per request.
    pub fn connect_info(mut self) -> Self {
        let protocols = Arc::make_mut(&mut self.protocols);
        protocols.connect_info = Some(|extensions, address: SocketAddr| {
            extensions.insert(ConnectInfo(address));
        });
        self
    }
}

impl axum::serve::Listener for crate::TrackedListener {
    type Io = crate::TrackedIo;
    type Addr = Option<SocketAddr>;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accept().await {
            Some(accepted) => accepted,
            // Closed; the server's own shutdown signal ends it.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.local_addr()
    }
}
