//! A service that loses no request when its pod ends.
//!
//! Orders go to PostgreSQL, their numbers to a Redis stream through an outbox,
//! and lookups through a Redis cache. On SIGTERM it keeps serving until traffic
//! has moved away, finishes what is in flight, and only then takes down what
//! requests need, in this order: outbox flushed, PostgreSQL pool closed, Redis
//! closed.
//!
//! ```text
//! cargo run -p zdd-examples --features graceful-server --bin graceful_server -- \
//!     --database-url postgres://app@127.0.0.1/app --redis-url redis://127.0.0.1
//! curl -d coffee localhost:8080/orders
//! kill -TERM $(pidof graceful_server)
//! ```
//!
//! A SIGTERM before it is ready ends it too, even while it waits for PostgreSQL.
//!
//! `examples/manifests/graceful_server.yaml` is its Deployment. To copy it, take this folder and
//!
//! ```toml
//! zdd-shutdown = { version = "0.1", features = ["axum", "serde"] }
//! ```
#![expect(clippy::print_stdout, reason = "a program; its last line is the report")]

mod outbox;
mod service;
mod stores;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use outbox::Outbox;
use stores::Stores;
use zdd_shutdown::{Report, Shutdown, Stage};

#[derive(Debug, Parser)]
#[command(about = "Serves orders, and loses none when it is told to end")]
struct Config {
    /// Where to listen.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The PostgreSQL database.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The Redis server.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: String,
}

fn main() -> anyhow::Result<()> {
    // Before anything else: a SIGTERM during start-up then ends the process in
    // order too, and as PID 1 it would otherwise be ignored.
    let shutdown = Shutdown::install().context("failed to install the shutdown")?;
    let config = Config::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let report = runtime.block_on(run(config, shutdown))?;
    println!("{}", serde_json::to_string(&report)?);
    // Not by returning, which would drop the runtime and wait for every blocking task.
    report.exit()
}

async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<Report> {
    // A pod that is deleted while its database is away has nothing to wait for.
    let connecting = Stores::connect(&config.database_url, &config.redis_url);
    let Some(stores) = shutdown.until_shutdown(connecting).await.transpose()? else {
        return Ok(shutdown.finish().await);
    };
    let outbox = Outbox::default();
    shutdown.spawn("outbox", outbox.clone().run(stores.cache.clone(), shutdown.handle()));
    register_hooks(&shutdown, &stores, &outbox)?;

    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("failed to listen on {}", config.listen))?;
    println!("listening {}", listener.local_addr()?);
    // Marks the service ready, and returns when the last connection is done.
    let app = service::router(stores, outbox).merge(shutdown.probe_routes());
    zdd_shutdown::serve(listener, app, &shutdown).await?;
    Ok(shutdown.finish().await)
}

/// Says what is taken down after the last request, and in which order.
fn register_hooks(shutdown: &Shutdown, stores: &Stores, outbox: &Outbox) -> anyhow::Result<()> {
    let (outbox, cache) = (outbox.clone(), stores.cache.clone());
    shutdown
        .on_shutdown(Stage::Outbox, "outbox", async move { outbox.flush(&cache).await })?
        // What is in the outbox is promised to others: a flush that fails is exit code 1.
        .required();

    let pool = stores.pool.clone();
    shutdown
        .on_shutdown(Stage::Database, "postgres", async move { pool.close().await })?
        .timeout(Duration::from_secs(3));

    let cache = stores.cache.clone();
    shutdown
        .on_shutdown(Stage::Cache, "redis", async move { cache.close().await })?
        .timeout(Duration::from_secs(1));
    Ok(())
}
