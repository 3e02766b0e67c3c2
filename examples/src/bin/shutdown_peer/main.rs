//! One server, six ways to end it: the process that `cargo xtask bench shutdown` measures.
//!
//! Prints `listening ADDRESS` when it serves, and one JSON object when it has ended.
#![expect(clippy::print_stdout, reason = "stdout is how it talks to the benchmark")]

mod app;
mod stock;

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;

#[derive(Debug, Parser)]
struct Args {
    /// Who serves.
    #[arg(long, value_enum)]
    server: Peer,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Worker threads of the runtime.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Peer {
    /// `axum::serve` with `with_graceful_shutdown`.
    AxumServe,
    /// axum-server with its handle, 30 s.
    AxumServer,
    /// A hyper-util accept loop with `GracefulShutdown`, as in its example.
    HyperUtil,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
    let app = app::App::default();
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind(args.listen)
            .with_context(|| format!("failed to listen on {}", args.listen))?;
        listener.set_nonblocking(true)?;
        let router = app.router();
        match args.server {
            Peer::AxumServe => stock::axum_serve(listener, router).await,
            Peer::AxumServer => stock::axum_server(listener, router).await,
            Peer::HyperUtil => stock::hyper_util(listener, router).await,
        }
    })?;
    println!("{}", serde_json::json!({ "handled": app.handled() }));
    Ok(())
}

/// Tells the benchmark where to send requests.
fn announce(listener: &std::net::TcpListener) -> anyhow::Result<()> {
    println!("listening {}", listener.local_addr()?);
    Ok(())
}
