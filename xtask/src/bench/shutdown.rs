//! `cargo xtask bench shutdown`: requests lost per shutdown, peers in the same run.
//!
//! Each shutdown is a real server process under real load that gets a real
//! SIGTERM. The client is `zdd-load`: plain sockets, no retries. A scenario runs
//! its peers in turn, one shutdown each, so that a slow spell of the machine
//! meets all of them.
//!
//! All of it takes half an hour. With `--record FILE --minutes 4` it can be
//! taken in pieces, while the machine is quiet, and is one table in the end.

mod measure;
mod peer;
mod record;
mod scenario;
mod table;

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use record::Record;
use scenario::{Peer, Scenario};
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
    /// Keeps every shutdown in this file, and does not repeat those that are in it.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Begins no shutdown after this many minutes; with `--record`, the next call goes on.
    #[arg(long)]
    minutes: Option<u64>,
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
    let mut record = Record::open(args.record.as_deref())?;
    let scenarios: Vec<_> = scenario::all(args)
        .into_iter()
        .filter(|scenario| args.only.as_ref().is_none_or(|only| scenario.name.contains(only)))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left = runtime.block_on(measure_all(args, &scenarios, &binary, &mut record))?;
    let rows = rows(args, &scenarios, &record);
    let command = format!(
        "cargo {}",
        std::env::args().skip(1).fold("xtask".to_owned(), |all, one| all + " " + &one)
    );
    table::print(&rows, &command, args.json)?;
    if left > 0 {
        eprintln!("the time is over with {left} shutdowns left");
    }
    let missed: Vec<_> = rows.iter().filter(|row| row.met == Some(false)).map(Row::name).collect();
    if !missed.is_empty() {
        bail!("missed the bar: {}", missed.join(", "));
    }
    Ok(())
}

fn peers<'a>(args: &Args, scenario: &'a Scenario) -> impl Iterator<Item = &'a Peer> + Clone {
    scenario
        .peers
        .iter()
        .filter(move |peer| args.peer.as_ref().is_none_or(|only| peer.name == *only))
}

/// Measures what the record does not have; returns how much of it there was no time for.
async fn measure_all(
    args: &Args,
    scenarios: &[Scenario],
    binary: &Path,
    record: &mut Record,
) -> anyhow::Result<usize> {
    let end = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let mut left = 0;
    for scenario in scenarios {
        for round in 0..scenario.shutdowns {
            for peer in peers(args, scenario) {
                if round >= peer.at_most || record.has(scenario, peer, round) {
                    continue;
                }
                if end.is_some_and(|end| Instant::now() >= end) {
                    left += 1;
                    continue;
                }
                let shutdown =
                    measure::shutdown(binary, scenario, peer, round).await.with_context(|| {
                        format!("scenario {}, {}, shutdown {round}", scenario.name, peer.name)
                    })?;
                let (name, of) = (scenario.name, scenario.shutdowns);
                eprintln!("{name} {} {}/{of}: {shutdown}", peer.name, round + 1);
                record.add(scenario, peer, round, shutdown)?;
            }
        }
    }
    Ok(left)
}

fn rows(args: &Args, scenarios: &[Scenario], record: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in scenarios {
        for peer in peers(args, scenario) {
            let row = Row::of(scenario, peer, &record.of(scenario, peer), &rows);
            rows.push(row);
        }
    }
    rows
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
