//! `cargo xtask test`: everything that a change has to pass, in the order in which builds are reused.

mod call;
mod cluster;
mod counts;
mod machine;
mod stage;
mod stages;
mod summary;

use std::process::ExitCode;

use tokio::time::Instant;

use crate::test::machine::Machine;
use crate::test::stage::Ended;
use crate::test::summary::Summary;

/// What to run and how.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a command line")]
pub(crate) struct Args {
    /// Fails where the machine lacks a part, instead of leaving the stage out.
    #[arg(long)]
    all: bool,
    /// Goes on after a stage that failed.
    #[arg(long)]
    keep_going: bool,
    /// Prints the result as one JSON object on the last line.
    #[arg(long)]
    json: bool,
    /// Lists the stages and what they run.
    #[arg(long)]
    list: bool,
    /// Runs only these stages.
    #[arg(long = "stage", value_name = "NAME", value_delimiter = ',')]
    stages: Vec<String>,
    /// Runs the fault harness with that many seeds, in a build with optimisation.
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
}

/// Runs the stages and prints what came of them.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stages = stages::chosen(&args.stages, args.seeds)?;
    if args.list {
        for stage in &stages {
            println!("{stage}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let machine = Machine::here();
    let begun = Instant::now();
    let mut ended: Vec<Ended> = Vec::new();
    for (stage, number) in stages.iter().zip(1..) {
        if !args.keep_going && ended.iter().any(|ended| ended.is_failure(args.all)) {
            ended.push(Ended::not_run(stage.name));
            continue;
        }
        eprintln!("[{number}/{}] {}: {}", stages.len(), stage.name, stage.about);
        let end = stage.run(&machine);
        eprintln!("[{number}/{}] {}", stages.len(), end);
        ended.push(end);
    }
    let summary = Summary::new(ended, begun.elapsed(), args.all);
    eprint!("{summary}");
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(if summary.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
