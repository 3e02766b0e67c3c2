//! A rolling update under load, from nothing: `cargo run -p zdd-examples --bin rolling`.
//!
//! The part to copy is [`rollout`]: client, target, change, strategy, gates, run.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that people watch")]

mod args;
mod interrupts;
mod place;
mod report;
mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{wait::await_condition, wait::conditions::is_deployment_completed};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use zdd_core::{Change, Outcome, Rollout, Target};
use zdd_examples::pods::Pods;
use zdd_examples::{manifest, web};
use zdd_load::{Mode, Running, Totals};
use zdd_strategies::gates::Available;
use zdd_strategies::{Rolling, RollingConfig};

use args::Args;
use interrupts::Interrupts;
use place::Place;
use report::Summary;
use screen::Screen;

/// How long version 1 may take to serve.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// How long the data plane may take to know a Service whose pods serve.
const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// No run takes longer; the load ends then in any case.
const AT_MOST: Duration = Duration::from_secs(1_800);
/// The exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // The pods of the embedded cluster are this program too.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return ended(web::main());
    }
    let (args, config, strategy) = Args::parse_all();
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    ended(
        runtime
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(run(args, config, strategy))),
    )
}

/// Writes logs for those who ask for them with `RUST_LOG`; all others get the screen alone.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        // In colour, unless NO_COLOR is set.
        log.init();
    } else {
        log.with_ansi(false).init();
    }
}

/// Tells people what went wrong, with all causes.
fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", zdd_core::chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

/// Describes the rollout: this is all that a deploy tool has to write.
fn rollout(client: Client, args: &Args, strategy: Rolling, stop: &CancellationToken) -> Rollout {
    let target = Target::deployment(&args.namespace, manifest::NAME);
    let change = Change::image(manifest::NAME, args.next_image());
    Rollout::new(zdd_kube::backend(client), target, change, strategy)
        .gate(Available::new())
        .cancel_on(stop.clone())
}

async fn run(args: Args, config: RollingConfig, strategy: Rolling) -> anyhow::Result<ExitCode> {
    let (real, stop) = (args.is_real(), CancellationToken::new());
    tokio::select! {
        // First the signals: whatever is begun can be interrupted.
        biased;
        result = interrupted(real, &stop) => result,
        result = watched(args, &config, strategy, &stop) => result,
    }
}

/// Deploys, and tells meanwhile what becomes of the pods.
async fn watched(
    mut args: Args,
    config: &RollingConfig,
    strategy: Rolling,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    // An interruption waits for this: what it creates is then whole.
    let place = Place::open(&args).await?;
    if !args.creates() {
        args.replicas = place.replicas(&args).await?;
    }
    let pods = Pods::default();
    let watching =
        pods.clone().follow(place.client.clone(), args.namespace.clone(), manifest::NAME);
    let rollout = rollout(place.driver.clone(), &args, strategy, stop);
    let result = tokio::select! {
        result = deploy(&place, &pods, &args, config, (rollout, stop)) => result,
        () = watching => Err(anyhow::anyhow!("the watch of the pods ended")),
    };
    let result = if stop.is_cancelled() { interruption(args.is_real(), result) } else { result };
    place.close().await;
    result
}

/// Cancels the rollout when someone interrupts the program; the rollout gives its lease back then.
/// Who asks a second time does not want to wait for anything.
async fn interrupted(real: bool, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    interrupts.next().await;
    eprintln!("interrupted, and ends in order; once more ends it at once");
    stop.cancel();
    interrupts.next().await;
    interruption(real, Err(anyhow::anyhow!("interrupted again, and ended at once")))
}

/// Says what an interruption leaves behind.
fn interruption(real: bool, result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    // It may have ended just before.
    let Err(error) = result else { return result };
    eprintln!("{}", zdd_core::chain(error.as_ref()));
    if real {
        eprintln!("the Deployment is left as it is; --existing goes on with it");
    }
    Ok(ExitCode::from(INTERRUPTED))
}

async fn deploy(
    place: &Place,
    pods: &Pods,
    args: &Args,
    config: &RollingConfig,
    (rollout, stop): (Rollout, &CancellationToken),
) -> anyhow::Result<ExitCode> {
    let ready = async {
        if args.creates() {
            serving(&place.client, args).await?;
        }
        if args.plan {
            print!("{}", rollout.plan().await?);
            return Ok(true);
        }
        reachable(place).await.map(|()| false)
    };
    let Some(planned) = stop.run_until_cancelled(ready).await else {
        anyhow::bail!("interrupted before the rollout began");
    };
    if planned? {
        return Ok(ExitCode::SUCCESS);
    }
    let loads = start_load(place, args)?;
    let meters = loads.iter().map(Running::meter).collect();
    let progress = (!args.json).then(|| Box::pin(rollout.handle().progress()));
    let screen = async {
        if let Some(progress) = progress {
            Screen::new(args, pods.clone(), meters).show(progress).await;
        }
    };
    let started = Instant::now();
    let timed = async { (rollout.run().await, started.elapsed()) };
    // The progress ends with the rollout: nothing of it goes unsaid.
    let ((report, total), ()) = tokio::join!(timed, screen);
    let report = report?;
    let mut reports = Vec::new();
    for load in loads {
        reports.push(load.stop().await);
    }
    for sample in reports.iter().flat_map(|report| &report.samples) {
        eprintln!("failed after {} ms: {} ({})", sample.at_ms, sample.cause, sample.detail);
    }
    let requests = Totals::of(&reports);
    let as_expected = (report.outcome == Outcome::Promoted) == args.fail.is_none();
    if !as_expected && let Some(fail) = args.fail {
        let image = args.next_image();
        eprintln!("--fail {} wants a rollback: does image {image} really fail?", fail.name());
    }
    let good = as_expected && requests.failed == 0;
    let limit = limit(pods, args, config);
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
        .with_context(|| {
            format!(
                "version 1 did not serve within {UP_WITHIN:?}; look at the pods with label app={} \
                 in namespace {}",
                manifest::NAME,
                args.namespace
            )
        })?
        .context("failed to watch version 1 start")?;
    Ok(())
}

/// Waits until the data plane knows the Service: requests before that say nothing about a rollout.
async fn reachable(place: &Place) -> anyhow::Result<()> {
    let Some(load) = &place.load else { return Ok(()) };
    let answered = async {
        loop {
            let probe = load.clone().mode(Mode::Fresh).rate(100).total(20);
            let report = probe.max_duration(REACHED_WITHIN).start()?.finish().await;
            if report.failed == 0 {
                return Ok(());
            }
        }
    };
    let limit = "version 1 could not be reached; look at the Service, and at --service-address";
    tokio::time::timeout(REACHED_WITHIN, answered).await.context(limit)?
}

/// Half of the requests over connections that are kept, half over new ones.
fn start_load(place: &Place, args: &Args) -> anyhow::Result<Vec<Running>> {
    let Some(load) = &place.load else { return Ok(Vec::new()) };
    let half = |mode| {
        let load = load
            .clone()
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
fn limit(pods: &Pods, args: &Args, config: &RollingConfig) -> Duration {
    let surge = usize::try_from(config.max_surge.round_up(args.replicas)).unwrap_or(usize::MAX);
    let min_ready = Duration::from_secs(config.min_ready_seconds.unwrap_or(0).into());
    let bake = config.stage.map_or(Duration::ZERO, |stage| stage.bake);
    pods.necessary_chain(&args.next_image(), surge, min_ready) + bake + config.soak
}
