//! Truth runs: rollouts on the node level, under load and faults, with every failed request counted.
//!
//! `cargo xtask testbed truth` brings a node up and starts itself again in the node's network,
//! since the Service has no address outside. The deploy tool of a case is a process of its own
//! (the `rolling` example, or `kubectl`), so that it can be killed; the load client is this one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for people")]

mod case;
mod chart;
mod cluster;
mod kubectl;
mod run;
mod table;
mod timeline;
mod tool;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::machine::Machine;
use crate::plan::Level;
use crate::testbed::{Lifetime, Options, Testbed};
use case::CASES;

/// The command line.
#[derive(Args, Clone, Debug)]
pub(crate) struct Truth {
    /// Only cases whose name contains one of these.
    cases: Vec<String>,
    /// Requests per second, half over kept connections and half over new ones.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=5_000))]
    rate: u32,
    /// Seconds for which the load goes on after a rollout, at least.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    tail: u64,
    /// How often every case is run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Draws the cases along an axis of time into an SVG file.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// Lists the cases and runs none.
    #[arg(long)]
    list: bool,
    /// The `rolling` example, in a process that is in the network of the node already.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

impl Truth {
    /// Runs the cases; `dir` is the state folder of the testbed that is used.
    pub(crate) fn run(
        &self,
        dir: &Path,
        json: bool,
        observe: &mut dyn FnMut(&crate::Event),
    ) -> anyhow::Result<ExitCode> {
        if self.list {
            for case in CASES {
                println!("{:<28} {}", case.name, case.about);
            }
            return Ok(ExitCode::SUCCESS);
        }
        ensure!(
            self.chosen().next().is_some(),
            "no case is named like that; --list names them all"
        );
        if let Some(path) = &self.chart {
            // Before half an hour of runs, not after it.
            let file = File::options().create(true).append(true).open(path);
            file.with_context(|| format!("failed to open the chart {}", path.display()))?;
        }
        match &self.inside {
            Some(rolling) => self.measure(&Testbed::find(dir)?, rolling, json),
            None => self.enter(dir, json, observe),
        }
    }

    fn chosen(&self) -> impl Iterator<Item = &'static case::Case> {
        CASES.iter().filter(|case| {
            self.cases.is_empty() || self.cases.iter().any(|name| case.name.contains(&**name))
        })
    }

    /// Brings a node up that ends with this process, and measures in its network.
    fn enter(
        &self,
        dir: &Path,
        json: bool,
        observe: &mut dyn FnMut(&crate::Event),
    ) -> anyhow::Result<ExitCode> {
        // Before minutes of building.
        Machine::here().require(Level::Node)?;
        let rolling = build()?;
        let mut options = Options { level: Level::Node, dir: dir.to_owned(), ..Options::default() };
        options.lifetime = Lifetime::Tied;
        let testbed = Testbed::up(&options, observe)?;
        let mut command = testbed.command(std::env::current_exe()?)?;
        command.args(["testbed", "--state"]).arg(dir).args(json.then_some("--json")).arg("truth");
        command.arg("--inside").arg(rolling).args(&self.cases);
        command.args(["--rate", &self.rate.to_string(), "--tail", &self.tail.to_string()]);
        command.args(["--rounds", &self.rounds.to_string()]);
        if let Some(path) = &self.chart {
            command.arg("--chart").arg(path);
        }
        let status = command.status().context("failed to start in the network of the node")?;
        testbed.down()?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn measure(&self, testbed: &Testbed, rolling: &Path, json: bool) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut rows = Vec::new();
        for round in 0..self.rounds {
            for case in self.chosen() {
                eprintln!("{}: {}", case.name, case.about);
                let place =
                    run::Place { testbed, rolling, round, rate: self.rate, tail: self.tail };
                let row = runtime
                    .block_on(run::run(case, &place))
                    .with_context(|| format!("the case {} could not be run", case.name))?;
                eprintln!("  {}", row.line());
                rows.push(row);
            }
        }
        if let Some(path) = &self.chart {
            svg::save(path, &chart::draw(&rows))
                .with_context(|| format!("failed to write the chart {}", path.display()))?;
        }
        let good = rows.iter().all(table::Row::is_good);
        if json {
            println!("{}", serde_json::to_string(&rows)?);
        } else {
            println!("{}", table::Table(&rows));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Builds the example with optimisation; returns its path.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "zdd-examples", "--bin", "rolling"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(crate::paths::source().join(".."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    ensure!(output.status.success(), "the build of the rolling example failed");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line)?;
        if let Some(path) = message["executable"].as_str() {
            return Ok(path.into());
        }
    }
    bail!("cargo did not say where it put the rolling example")
}
