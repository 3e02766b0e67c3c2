//! The testbed as a program of its own: what the tests of this crate run.

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "A real Kubernetes for tests")]
struct Arguments {
    #[command(flatten)]
    testbed: zdd_testbed::Cli,
}

fn main() -> ExitCode {
    match zdd_testbed::dispatch() {
        Some(code) => code,
        None => Arguments::parse().testbed.run(),
    }
}
