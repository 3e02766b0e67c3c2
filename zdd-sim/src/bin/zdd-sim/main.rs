//! A Kubernetes cluster to work on with `kubectl`: `cargo run -p zdd-sim`.

mod args;
mod kubeconfig;
mod manifests;
mod services;

use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use k8s_openapi::jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zdd_sim::{Cluster, HttpServer};

use args::Args;
use kubeconfig::Kubeconfig;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    // Before anything is announced: a signal that comes during the start ends it in order too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    args.check()?;
    let place = Kubeconfig::at(&args.kubeconfig).await?;
    let cluster = Cluster::builder()
        .start(Timestamp::now())
        .seed(args.seed.map_or_else(seed, Ok)?)
        .nodes(args.nodes)
        .images(args.images())
        .build();
    let server = listen(&cluster, &args).await?;
    let written = place.write(&server.kubeconfig())?;

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let url = server.url();
    let (driven, stopped) = (cluster.clone(), stop.clone());
    tasks.spawn(async move { driven.run(stopped).await });
    tasks.spawn(server.serve(stop.clone()));
    let (exposed, stopped) = (cluster.clone(), stop.clone());
    tasks.spawn(async move { services::expose(exposed, stopped).await });
    for file in &args.load {
        manifests::apply(cluster.client(), file).await?;
    }
    announce(&args, &url, &written)?;

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = tasks.join_next() => anyhow::bail!("the cluster has stopped on its own"),
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    drop(written);
    // The last handle: with it go the processes of pods.
    drop(cluster);
    Ok(())
}

async fn listen(cluster: &Cluster, args: &Args) -> anyhow::Result<HttpServer> {
    let address = SocketAddr::new(args.listen, args.port);
    let server = HttpServer::bind(cluster.api(), address).await.with_context(|| {
        format!(
            "failed to listen on {address}; choose another address with --listen, or another port \
             with --port, 0 for any"
        )
    })?;
    Ok(server.secret(secret()?))
}

/// Says where the cluster is, in one line for programs or in some for people.
fn announce(args: &Args, url: &str, written: &kubeconfig::Written) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let path = written.path().display();
    if args.json {
        let line = serde_json::json!({
            "kubeconfig": written.path(),
            "pid": std::process::id(),
            "server": url,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "A cluster of {} nodes is up; Ctrl-C ends it.\n", args.nodes)?;
        writeln!(out, "  export KUBECONFIG={path}\n  kubectl get nodes")?;
    }
    out.flush()?;
    Ok(())
}

/// Returns 128 random bits as text.
fn secret() -> anyhow::Result<String> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn seed() -> anyhow::Result<u64> {
    Ok(u64::from_ne_bytes(random()?))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    let source = std::fs::File::open("/dev/urandom");
    source
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("failed to read /dev/urandom")?;
    Ok(bytes)
}
