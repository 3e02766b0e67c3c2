//! The handlers: the same for every server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;

/// Counts what the handlers did, to compare with what the client saw.
#[derive(Clone, Default)]
pub(crate) struct App {
    handled: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Wait {
    ms: u64,
}

impl App {
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/", get(quick).post(quick))
            .route("/wait", get(wait))
            .route("/block", get(block))
            .with_state(self.clone())
    }
}

async fn quick(State(app): State<App>) -> &'static str {
    app.handled.fetch_add(1, Relaxed);
    "ok"
}

/// A handler that waits for something, as most do.
async fn wait(State(app): State<App>, Query(Wait { ms }): Query<Wait>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    app.handled.fetch_add(1, Relaxed);
    "ok"
}

/// A handler that blocks its worker thread: what must not happen and does.
async fn block() -> &'static str {
    std::thread::sleep(Duration::from_secs(600));
    "late"
}
