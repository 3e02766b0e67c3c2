//! Benchmarks whose numbers the documentation quotes.

mod shutdown;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Counts the requests that a server process loses when it is told to end.
    Shutdown(shutdown::Args),
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Shutdown(args) => shutdown::run(&args),
        }
    }
}
