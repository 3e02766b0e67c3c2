//! `cargo xtask bench shutdown`: requests lost per shutdown, peers in the same run.
//!
//! Each shutdown is a real server process under real load that gets a real
//! SIGTERM. The client is `zdd-load`: plain sockets, no retries. A scenario runs
//! its peers in turn, one shutdown each, so that a slow spell of the machine
//! meets all of them.

mod measure;
mod peer;
mod scenario;
mod table;

use std::{convert::Infallible, process::Command};

use anyhow::{Context as _, bail};

use measure::Shutdown;
use table::Row;

/// Options of `bench shutdown`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shutdowns per peer in the scenarios that count losses.
    #[arg(long, default_value_t = 50)]
    shutdowns: u32,
    /// Only scenarios whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Only this peer.
    #[arg(long)]
    peer: Option<String>,
    /// Requests per second of the keep-alive scenarios.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Worker threads of each server.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Prints one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // An unoptimised client would be the bottleneck, and `cargo xtask` builds one.
    if cfg!(debug_assertions) {
        again_in_release()?;
    }
    let binary = peer::build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(measure_all(args, &binary))?;
    let command = format!(
        "cargo {}",
        std::env::args().skip(1).fold("xtask".to_owned(), |all, one| all + " " + &one)
    );
    table::print(&rows, &command, args.json)?;
    let missed: Vec<_> = rows.iter().filter(|row| row.met == Some(false)).map(Row::name).collect();
    if !missed.is_empty() {
        bail!("missed the bar: {}", missed.join(", "));
    }
    Ok(())
}

async fn measure_all(args: &Args, binary: &std::path::Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for scenario in scenario::all(args) {
        if !args.only.as_ref().is_none_or(|only| scenario.name.contains(only.as_str())) {
            continue;
        }
        let peers: Vec<_> = scenario
            .peers
            .iter()
            .filter(|peer| args.peer.as_ref().is_none_or(|only| peer.name == *only))
            .collect();
        let mut results: Vec<Vec<Shutdown>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 0..scenario.shutdowns {
            for (peer, results) in peers.iter().zip(&mut results) {
                if round >= peer.at_most {
                    continue;
                }
                let shutdown =
                    measure::shutdown(binary, &scenario, peer, round).await.with_context(|| {
                        format!("scenario {}, {}, shutdown {round}", scenario.name, peer.name)
                    })?;
                eprintln!(
                    "{} {} {}/{}: {shutdown}",
                    scenario.name,
                    peer.name,
                    round + 1,
                    scenario.shutdowns
                );
                results.push(shutdown);
            }
        }
        rows.extend(
            peers.iter().zip(&results).map(|(peer, results)| Row::of(&scenario, peer, results)),
        );
    }
    Ok(rows)
}

/// Runs this very command in the release profile and ends as it does.
fn again_in_release() -> anyhow::Result<Infallible> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()
        .context("failed to start cargo")?;
    std::process::exit(status.code().unwrap_or(1))
}
