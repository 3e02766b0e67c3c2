//! The HTTP side.

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    outbox::Outbox,
    stores::{CacheError, Stores},
};

#[derive(Clone)]
struct App {
    stores: Stores,
    outbox: Outbox,
}

pub(crate) fn router(stores: Stores, outbox: Outbox) -> Router {
    Router::new()
        .route("/orders", post(create))
        .route("/orders/{id}", get(find))
        .route("/report", get(report))
        .with_state(App { stores, outbox })
}

/// Stores an order; once it is committed it will reach the stream.
async fn create(State(app): State<App>, item: String) -> Result<impl IntoResponse, Failure> {
    let id: i64 = sqlx::query_scalar("INSERT INTO orders (item) VALUES ($1) RETURNING id")
        .bind(&item)
        .fetch_one(&app.stores.pool)
        .await?;
    app.outbox.push(id);
    Ok((StatusCode::CREATED, id.to_string()))
}

/// Looks an order up, in the cache first.
async fn find(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failure> {
    if let Some(item) = app.stores.cache.item(id).await? {
        return Ok(item.into_response());
    }
    let item: Option<String> = sqlx::query_scalar("SELECT item FROM orders WHERE id = $1")
        .bind(id)
        .fetch_optional(&app.stores.pool)
        .await?;
    let Some(item) = item else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    app.stores.cache.put_item(id, &item).await?;
    Ok(item.into_response())
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    seconds: f64,
}

/// Counts all orders; `seconds` stands in for the size of a real report.
///
/// It uses PostgreSQL at its start and Redis at its end: both must be there
/// for as long as a request is.
async fn report(
    State(app): State<App>,
    Query(report): Query<Report>,
) -> Result<impl IntoResponse, Failure> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_sleep($1), orders")
        .bind(report.seconds)
        .fetch_one(&app.stores.pool)
        .await?;
    app.stores.cache.put_item(-1, &count.to_string()).await?;
    Ok(count.to_string())
}

/// A request that failed on a store.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    #[error("cache failed")]
    Cache(#[from] CacheError),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(error = ?self, "request failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
