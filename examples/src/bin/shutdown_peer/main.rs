//! One server, some ways to end it: the process that `cargo xtask bench shutdown` measures.
//!
//! Ends with its stdin. Prints `listening ADDRESS` when it serves, and one JSON object when it has ended.
#![expect(clippy::print_stdout, reason = "stdout is how it talks to the benchmark")]

mod app;
mod bare;
mod ours;
mod stock;

use std::{
    net::{SocketAddr, TcpListener},
    process::ExitCode,
};

use anyhow::Context as _;
use app::App;
use axum::Router;
use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;
use tower_http::metrics::InFlightRequestsLayer;
use zdd_shutdown::{Report, Shutdown};

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
    /// tower-http's in-flight layer on `axum::serve`.
    AxumInFlight,
    /// `axum::serve` with `with_graceful_shutdown`.
    AxumServe,
    /// axum-server with its handle, 30 s.
    AxumServer,
    /// A hyper-util accept loop with `GracefulShutdown`, as in its example.
    HyperUtil,
    /// hyper without axum.
    Bare,
    /// tower-http's in-flight layer on hyper without axum.
    BareInFlight,
    /// The layer of zdd-shutdown on hyper without axum.
    BareLayer,
    /// The serve loop of zdd-shutdown, with the settings of the environment.
    Zdd,
    /// The layer of zdd-shutdown on `axum::serve`.
    ZddLayer,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    end_with_the_benchmark()?;
    // Ours goes first, as its documentation asks for.
    let shutdown = match args.server {
        Peer::Zdd | Peer::ZddLayer => Some(Shutdown::install()?),
        Peer::AxumInFlight | Peer::AxumServe | Peer::AxumServer => None,
        Peer::HyperUtil | Peer::Bare | Peer::BareInFlight | Peer::BareLayer => None,
    };
    let runtime = Builder::new_multi_thread().worker_threads(args.threads).enable_all().build()?;
    let app = App::default();
    let report = runtime.block_on(run(&args, app.router(), shutdown))?;
    println!("{}", serde_json::json!({ "handled": app.handled(), "report": report }));
    Ok(report.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Ends this process when its stdin does: a benchmark that was killed leaves no server behind.
fn end_with_the_benchmark() -> std::io::Result<()> {
    let watch = || {
        // An error is the end too.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    };
    std::thread::Builder::new().name("stdin".into()).spawn(watch).map(drop)
}

async fn run(
    args: &Args,
    router: Router,
    shutdown: Option<Shutdown>,
) -> anyhow::Result<Option<Report>> {
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("failed to listen on {}", args.listen))?;
    listener.set_nonblocking(true)?;
    match (args.server, shutdown) {
        (Peer::Zdd, Some(shutdown)) => {
            return ours::serve(listener, router, shutdown).await.map(Some);
        }
        (Peer::ZddLayer, Some(shutdown)) => {
            return ours::layer(listener, router, shutdown).await.map(Some);
        }
        (Peer::AxumInFlight, _) => {
            let (layer, _counter) = InFlightRequestsLayer::pair();
            stock::axum_serve(listener, router.layer(layer)).await?;
        }
        (Peer::Bare, _) => bare::plain(listener).await?,
        (Peer::BareInFlight, _) => bare::in_flight(listener).await?,
        (Peer::BareLayer, _) => bare::layer(listener).await?,
        (Peer::AxumServe, _) => stock::axum_serve(listener, router).await?,
        (Peer::AxumServer, _) => stock::axum_server(listener, router).await?,
        (Peer::HyperUtil, _) => stock::hyper_util(listener, router).await?,
        (Peer::Zdd | Peer::ZddLayer, None) => unreachable!("installed in main"),
    }
    Ok(None)
}

/// Tells the benchmark where to send requests.
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    println!("listening {}", listener.local_addr()?);
    Ok(())
}
