//! PostgreSQL and Redis, and how each is closed.
//!
//! The pool is sqlx's: its `close` waits until every connection is back and has
//! said goodbye to the server, so the end of the hook is the end of the last
//! connection. The `close` of deadpool-postgres returns at once and leaves the
//! connections to be dropped by their tasks, which an exiting process may cut.

use std::sync::Arc;

use anyhow::Context as _;
use redis::{AsyncCommands as _, aio::ConnectionManager};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::sync::RwLock;

/// How long a lookup stays in the cache.
const TTL_SECONDS: u64 = 60;
/// The stream that other services read.
const STREAM: &str = "orders";

#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) pool: PgPool,
    pub(crate) cache: Cache,
}

impl Stores {
    pub(crate) async fn connect(database_url: &str, redis_url: &str) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect(database_url)
            .await
            .context("failed to connect to PostgreSQL")?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS orders (id BIGSERIAL PRIMARY KEY, item TEXT NOT NULL)",
        )
        .execute(&pool)
        .await
        .context("failed to create table orders")?;
        let client = redis::Client::open(redis_url).context("the Redis URL is not valid")?;
        let manager =
            client.get_connection_manager().await.context("failed to connect to Redis")?;
        Ok(Self { pool, cache: Cache(Arc::new(RwLock::new(Some(manager)))) })
    }
}

/// A Redis connection that can be closed while others hold a handle to it.
#[derive(Clone)]
pub(crate) struct Cache(Arc<RwLock<Option<ConnectionManager>>>);

/// Why the cache did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("cache is closed")]
    Closed,
    #[error("cache failed")]
    Redis(#[from] redis::RedisError),
}

impl Cache {
    pub(crate) async fn item(&self, id: i64) -> Result<Option<String>, CacheError> {
        Ok(self.connection().await?.get(key(id)).await?)
    }

    pub(crate) async fn put_item(&self, id: i64, item: &str) -> Result<(), CacheError> {
        Ok(self.connection().await?.set_ex(key(id), item, TTL_SECONDS).await?)
    }

    /// Appends orders to the stream, all or none.
    pub(crate) async fn publish(&self, ids: &[i64]) -> Result<(), CacheError> {
        let mut append = redis::pipe();
        append.atomic();
        for id in ids {
            append.cmd("XADD").arg(STREAM).arg("*").arg("order").arg(id).ignore();
        }
        Ok(append.exec_async(&mut self.connection().await?).await?)
    }

    /// Closes the connection and waits until the server has seen it.
    ///
    /// QUIT is answered after every command before it. Dropping the connection
    /// would close it too, at some time after this hook.
    pub(crate) async fn close(&self) -> Result<(), CacheError> {
        let connection = self.0.write().await.take();
        let mut connection = connection.ok_or(CacheError::Closed)?;
        Ok(redis::cmd("QUIT").exec_async(&mut connection).await?)
    }

    /// Clones the handle, so that commands share the connection and no lock is held while they wait.
    async fn connection(&self) -> Result<ConnectionManager, CacheError> {
        self.0.read().await.clone().ok_or(CacheError::Closed)
    }
}

fn key(id: i64) -> String {
    format!("order:{id}")
}
