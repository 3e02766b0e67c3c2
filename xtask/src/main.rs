//! Project automation: `cargo xtask <command>`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

mod bench;
mod fidelity;
mod tables;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Project automation")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures what the documentation claims.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Plays scripts against zdd-sim and a real control plane, and compares.
    Fidelity(fidelity::Args),
    /// Makes the tables again that zdd-sim has of Kubernetes' own types.
    Tables(tables::Args),
    /// Runs everything that a change has to pass.
    Test(test::Args),
    /// Brings a real Kubernetes up and down.
    Testbed(zdd_testbed::Cli),
    /// Checks the rules of this project that no compiler knows.
    Tidy,
}

fn main() -> anyhow::Result<ExitCode> {
    // A testbed consists of processes that are this program again.
    if let Some(code) = zdd_testbed::dispatch() {
        return Ok(code);
    }
    match Cli::parse().command {
        Command::Bench(bench) => bench.run().map(|()| ExitCode::SUCCESS),
        Command::Fidelity(args) => fidelity::run(&args),
        Command::Tables(args) => tables::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Testbed(testbed) => Ok(testbed.run()),
        Command::Tidy => tidy::run(),
    }
}
