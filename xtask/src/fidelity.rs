//! `cargo xtask fidelity`: scripts of API calls against zdd-sim and a real control plane.

use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::workspace::{cargo, root};

/// What to play; see `cargo xtask fidelity -- --help`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Goes to `zdd-fidelity` as it is: `--kubeconfig FILE`, `--record`, `--page`, `--json`, parts
    /// of names.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// Runs the program, which has dependencies that this one does not want.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let status = Command::new(cargo())
        .current_dir(root())
        .args(["run", "--quiet", "-p", "zdd-fidelity", "--"])
        .args(&args.args)
        .status()
        .context("failed to run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
