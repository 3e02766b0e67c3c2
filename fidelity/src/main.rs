//! Plays the scripts and says what came of it: `cargo xtask fidelity`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people at a terminal"
)]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use kube::Client;
use serde_json::json;
use zdd_fidelity::catalogue::{self, Differences};
use zdd_fidelity::script::Script;
use zdd_fidelity::{difference, page, side};

/// Runs that must agree before they are a record.
const RUNS: usize = 3;
/// Scripts that are played at a time.
const TOGETHER: usize = 8;

/// Plays scripts of API requests against zdd-sim and a real control plane, and compares.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a command line")]
struct Args {
    /// Plays only scripts whose names contain one of these.
    filters: Vec<String>,
    /// The control plane to play against; zdd-sim alone when there is none.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Records what the control plane answers, when three runs agree.
    #[arg(long, requires = "kubeconfig")]
    record: bool,
    /// Plays only scripts without a record.
    #[arg(long)]
    new: bool,
    /// Writes the page of the book.
    #[arg(long)]
    page: bool,
    /// Prints the result as one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// What came of a script.
#[derive(Clone, Debug)]
enum Result {
    Equal,
    Known(String),
    Problem(String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut scripts = catalogue::scripts()?;
    let known = catalogue::differences(&scripts)?;
    if args.page {
        fs::write(catalogue::page(), page::render(&scripts, &known))?;
    }
    scripts.retain(|script| {
        let chosen = args.filters.iter().any(|filter| script.name.contains(filter.as_str()));
        (chosen || args.filters.is_empty()) && !(args.new && script.is_recorded())
    });
    if scripts.is_empty() {
        bail!("no script has such a name");
    }
    let client = match &args.kubeconfig {
        Some(file) => Some(side::connect(file).await?),
        None => None,
    };
    let results = play_all(&scripts, &known, client.as_ref(), args.record).await?;
    Ok(report(&results, args.json))
}

async fn play_all(
    scripts: &[Script],
    known: &Differences,
    client: Option<&Client>,
    record: bool,
) -> anyhow::Result<Vec<(String, Result)>> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(scripts.len() as u64).with_style(style);
    let mut played = futures::stream::iter(scripts)
        .map(|script| async move {
            let recorded = match client {
                Some(client) if record => self::record(script, client).await,
                Some(client) => side::real(script, client.clone())
                    .await
                    .map(|seen| (script.clone(), difference(script, &seen))),
                None => Ok((script.clone(), String::new())),
            };
            (script.name.clone(), recorded)
        })
        .buffer_unordered(TOGETHER);
    let mut results = Vec::new();
    while let Some((name, recorded)) = played.next().await {
        bar.set_message(name.clone());
        let result = match recorded {
            Ok((script, drift)) if drift.is_empty() => {
                let reason = known.get(&name).cloned();
                // A runtime of its own, with a time of its own.
                tokio::task::spawn_blocking(move || judge(&script, reason.as_deref())).await?
            }
            Ok((_, drift)) => {
                Result::Problem(format!("the control plane does otherwise:\n{drift}"))
            }
            Err(error) => Result::Problem(format!("{error:#}")),
        };
        results.push((name, result));
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(results)
}

/// Plays a script until runs agree that follow each other, and writes its file.
async fn record(script: &Script, client: &Client) -> anyhow::Result<(Script, String)> {
    let first = side::real(script, client.clone()).await?;
    if let Some(line) = first.iter().flatten().find(|line| line.starts_with("!! ")) {
        bail!("cannot be recorded: {line}");
    }
    let recorded = script.with_record(&first);
    for _ in 1..RUNS {
        let again = side::real(script, client.clone()).await?;
        let difference = difference(&recorded, &again);
        if !difference.is_empty() {
            bail!("two runs differ:\n{difference}");
        }
    }
    let file = catalogue::file(&script.name);
    fs::write(&file, recorded.render()).with_context(|| format!("failed to write {file:?}"))?;
    Ok((recorded, String::new()))
}

/// Compares zdd-sim with the record.
fn judge(script: &Script, reason: Option<&str>) -> Result {
    if !script.is_recorded() {
        return Result::Problem("is not recorded".to_owned());
    }
    let difference = match side::sim(script) {
        Ok(observed) => difference(script, &observed),
        Err(error) => format!("{error:#}\n"),
    };
    match (difference.is_empty(), reason) {
        (true, None) => Result::Equal,
        (false, Some(reason)) => Result::Known(reason.trim().to_owned()),
        (true, Some(_)) => Result::Problem("differs no more: take it off the list".to_owned()),
        (false, None) => Result::Problem(format!("zdd-sim does otherwise:\n{difference}")),
    }
}

fn report(results: &[(String, Result)], as_json: bool) -> ExitCode {
    let count = |wanted: fn(&Result) -> bool| results.iter().filter(|it| wanted(&it.1)).count();
    let equal = count(|result| matches!(result, Result::Equal));
    let known = count(|result| matches!(result, Result::Known(_)));
    let problems = count(|result| matches!(result, Result::Problem(_)));
    for (name, result) in results {
        match result {
            Result::Equal => {}
            Result::Known(reason) => eprintln!("known  {name}: {reason}"),
            Result::Problem(problem) => eprintln!("WRONG  {name}: {problem}"),
        }
    }
    let table: &[(&str, usize)] = &[
        ("scripts", results.len()),
        ("equal", equal),
        ("known to differ", known),
        ("wrong", problems),
    ];
    for (name, count) in table {
        println!("{name:<16} {count:>4}");
    }
    if as_json {
        let of = |result: &Result| match result {
            Result::Equal => json!({"result": "equal"}),
            Result::Known(reason) => json!({"result": "known", "reason": reason}),
            Result::Problem(problem) => json!({"result": "wrong", "problem": problem}),
        };
        let scripts: serde_json::Map<_, _> =
            results.iter().map(|(name, result)| (name.clone(), of(result))).collect();
        println!(
            "{}",
            json!({"equal": equal, "known": known, "wrong": problems, "scripts": scripts})
        );
    }
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
