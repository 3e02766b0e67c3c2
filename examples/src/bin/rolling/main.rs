//! A rolling update under load, from nothing: `cargo run -p zdd-examples --bin rolling`.
//!
//! The part to copy is [`rollout`]: client, target, change, strategy, gates, run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that people watch")]

mod args;
mod place;
mod report;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{wait::await_condition, wait::conditions::is_deployment_completed};
use kube::{Api, Client};
use tokio::time::Instant;
use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_examples::pods::Pods;
use zdd_examples::{manifest, web};
use zdd_load::{Load, Mode, Running, Totals};
use zdd_strategies::gates::Available;
use zdd_strategies::{Rolling, RollingConfig, Stage};

use args::Args;
use place::Place;
use report::Summary;

/// How long version 1 may take to serve.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// No run takes longer; the load ends then in any case.
const AT_MOST: Duration = Duration::from_secs(1_800);

fn main() -> anyhow::Result<ExitCode> {
    // The pods of the embedded cluster are this program too.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return web::main();
    }
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(args))
}

/// Describes the rollout: this is all that a deploy tool has to write.
fn rollout(client: Client, args: &Args) -> anyhow::Result<Rollout> {
    let target = Target::deployment(&args.namespace, manifest::NAME);
    let change = Change::image(manifest::NAME, args.next_image());
    let mut config = RollingConfig::default()
        .max_surge(args.max_surge)
        .min_ready_seconds(args.min_ready_seconds)
        .soak(Duration::from_secs(args.soak))
        .progress_deadline(Duration::from_secs(args.deadline));
    if let Some(first) = args.stage {
        config = config.stage(Stage::new(first, Duration::from_secs(args.bake)));
    }
    let strategy = Rolling::new(config)?;
    Ok(Rollout::new(zdd_kube::backend(client), target, change, strategy).gate(Available::new()))
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let place = Place::open(&args).await?;
    let pods = Pods::default();
    let watching =
        pods.clone().follow(place.client.clone(), args.namespace.clone(), manifest::NAME);
    let result = tokio::select! {
        result = deploy(&place, &pods, &args) => result,
        () = watching => anyhow::bail!("the watch of the pods ended"),
    };
    place.close().await;
    result
}

async fn deploy(place: &Place, pods: &Pods, args: &Args) -> anyhow::Result<ExitCode> {
    if !args.existing {
        serving(&place.client, args).await?;
    }
    let rollout = rollout(place.driver.clone(), args)?;
    if args.plan {
        print!("{}", rollout.plan().await?);
        return Ok(ExitCode::SUCCESS);
    }
    reachable(place).await?;
    let loads = start_load(place, args)?;
    let meters = loads.iter().map(Running::meter).collect();
    let handle = rollout.handle();
    let started = Instant::now();
    let report = tokio::select! {
        report = rollout.run() => report?,
        () = screen::show(&handle, pods.clone(), meters, args.clone()), if !args.json => {
            anyhow::bail!("the screen went away")
        }
    };
    let total = started.elapsed();
    let mut reports = Vec::new();
    for load in loads {
        reports.push(load.stop().await);
    }
    for sample in reports.iter().flat_map(|report| &report.samples) {
        eprintln!("failed after {} ms: {} ({})", sample.at_ms, sample.cause, sample.detail);
    }
    let requests = Totals::of(&reports);
    let as_expected = (report.outcome == Outcome::Promoted) == args.fail.is_none();
    let good = as_expected && requests.failed == 0;
    let limit = limit(pods, args);
    let summary = Summary::new(report, requests, (total, Some(limit)), place.counter.counts());
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until version 1 serves.
async fn serving(client: &Client, args: &Args) -> anyhow::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), &args.namespace);
    // A new Deployment has no older status that could be taken for this one's.
    let up = await_condition(api, manifest::NAME, is_deployment_completed());
    tokio::time::timeout(UP_WITHIN, up)
        .await
        .with_context(|| format!("version 1 did not serve within {UP_WITHIN:?}"))?
        .context("failed to watch version 1 start")?;
    Ok(())
}

/// Waits until the data plane knows the Service: requests before that say nothing about a rollout.
async fn reachable(place: &Place) -> anyhow::Result<()> {
    let Some(endpoints) = &place.load else { return Ok(()) };
    let answered = async {
        loop {
            let probe = Load::new(endpoints.clone()).mode(Mode::Fresh).rate(100).total(20);
            let report = probe.max_duration(UP_WITHIN).start()?.finish().await;
            if report.failed == 0 {
                return Ok(());
            }
        }
    };
    let limit = format!("version 1 could not be reached within {UP_WITHIN:?}");
    tokio::time::timeout(UP_WITHIN, answered).await.context(limit)?
}

/// Half of the requests over connections that are kept, half over new ones.
fn start_load(place: &Place, args: &Args) -> anyhow::Result<Vec<Running>> {
    let Some(endpoints) = &place.load else { return Ok(Vec::new()) };
    let half = |mode| {
        let load = Load::new(endpoints.clone())
            .mode(mode)
            .rate(args.rate / 2)
            .connections(50)
            .max_duration(AT_MOST)
            .label_header(web::VERSION_HEADER);
        load.start().context("failed to start the load")
    };
    Ok(vec![half(Mode::KeepAlive)?, half(Mode::Fresh)?])
}

/// What the pods and the asked waits alone need.
fn limit(pods: &Pods, args: &Args) -> Duration {
    let surge = usize::try_from(args.max_surge.round_up(args.replicas)).unwrap_or(usize::MAX);
    let min_ready = Duration::from_secs(args.min_ready_seconds.into());
    let bake = args.stage.map_or(Duration::ZERO, |_| Duration::from_secs(args.bake));
    pods.necessary_chain(&args.next_image(), surge, min_ready)
        + bake
        + Duration::from_secs(args.soak)
}
