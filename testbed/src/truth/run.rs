//! One case: load, rollout, fault, and what became of every request.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Child;
use tokio::time::Instant;
use zdd_load::{Endpoints, Load, Mode, Running};

use super::case::{Case, End, Hindrance, Tool};
use super::cluster::{Cluster, REPLICAS};
use super::kubectl::Kubectl;
use super::table::Row;
use super::timeline::Timeline;
use super::tool::Deployer;
use crate::plan::Component;
use crate::testbed::{Signal, Testbed};

/// No load lasts longer, whatever happens.
const AT_MOST: Duration = Duration::from_secs(600);
/// No rollout may take longer.
const LIMIT: Duration = Duration::from_secs(300);
/// The first of the ports that Services get on the node.
const FIRST_PORT: u16 = 30_100;

/// Where and how hard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) testbed: &'a Testbed,
    pub(super) rolling: &'a Path,
    pub(super) round: u32,
    pub(super) rate: u32,
    pub(super) tail: u64,
}

/// Runs a case in a namespace of its own.
pub(super) async fn run(case: &Case, place: &Place<'_>) -> anyhow::Result<Row> {
    let index = super::CASES.iter().position(|other| other.name == case.name);
    let index = u16::try_from(index.unwrap_or_default())?;
    let namespace = format!("{}-{}", case.name, place.round);
    let deployer = Deployer {
        kubectl: Kubectl::new(place.testbed, &user(case, place), namespace.clone())?,
        image: format!("{}:{}", case.service, case.to),
    };
    let cluster = Cluster::new(place.testbed, namespace, FIRST_PORT + index)?;
    cluster.deploy(case.service, case.hindrance).await?;
    reachable(cluster.port).await?;
    let timeline = Timeline::start();
    let load = start(cluster.port, place.rate, &timeline)?;
    let begun = Instant::now();
    let deployed = tokio::time::timeout(LIMIT, deploy(case, place, &cluster, &deployer)).await;
    let took = begun.elapsed();
    let deployed = deployed.unwrap_or_else(|_| anyhow::bail!("no end within {LIMIT:?}"));
    // Losses come late where a data plane lags: until the last old pod is gone, and then some.
    let settled = cluster.settled().await;
    tokio::time::sleep(Duration::from_secs(place.tail)).await;
    let mut reports = Vec::new();
    for load in load {
        reports.push(load.stop().await);
    }
    let (end, detail) = match deployed {
        Ok((end, detail)) => (Some(end), detail),
        Err(error) => (None, format!("{error:#}")),
    };
    let detail = settled.err().map_or(detail, |error| format!("{error:#}"));
    let api_requests = cluster.requests_of(&user(case, place))?;
    let row = Row::new(case, end, detail, took, &reports, api_requests, timeline.tallies());
    if let Some(end) = end {
        confirm(end, case, &cluster).await?;
    }
    cluster.delete().await?;
    Ok(row)
}

/// The cluster must be what the tool said it is.
async fn confirm(end: End, case: &Case, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let tag = if end == End::New { case.to } else { "1" };
    let images = cluster.images().await?;
    let wanted = format!("{}:{tag}", case.service);
    ensure!(
        images.len() == REPLICAS && images.iter().all(|image| *image == wanted),
        "the tool says that {wanted} runs, but these do: {images:?}"
    );
    Ok(())
}

fn user(case: &Case, place: &Place<'_>) -> String {
    format!("deployer-{}-{}", case.name, place.round)
}

async fn deploy(
    case: &Case,
    place: &Place<'_>,
    cluster: &Cluster<'_>,
    deployer: &Deployer<'_>,
) -> anyhow::Result<(End, String)> {
    match case.tool {
        Tool::Nobody => Ok((End::Old, "nothing was done".to_owned())),
        Tool::Kubectl => {
            let (ended, hindered) =
                tokio::join!(deployer.kubectl(), hinder(case.hindrance, place, cluster));
            hindered?;
            ended
        }
        Tool::Zdd if case.hindrance == Hindrance::DriverKilled => {
            let mut first = deployer.zdd(place.rolling)?;
            cluster.begun().await?;
            kill(&mut first).await?;
            Deployer::ended(deployer.zdd(place.rolling)?).await
        }
        Tool::Zdd => {
            let ended = Deployer::ended(deployer.zdd(place.rolling)?);
            let (ended, hindered) = tokio::join!(ended, hinder(case.hindrance, place, cluster));
            hindered?;
            ended
        }
    }
}

async fn kill(child: &mut Child) -> anyhow::Result<()> {
    ensure!(child.try_wait()?.is_none(), "the driver ended before it could be killed");
    child.kill().await.context("failed to kill the driver")
}

/// Stands in the way, and goes out of it again.
async fn hinder(
    hindrance: Hindrance,
    place: &Place<'_>,
    cluster: &Cluster<'_>,
) -> anyhow::Result<()> {
    match hindrance {
        Hindrance::Budget | Hindrance::DriverKilled | Hindrance::Nothing | Hindrance::Quota => {
            Ok(())
        }
        Hindrance::Killed(component) => {
            cluster.begun().await?;
            // The load goes on beside it, on the other threads.
            tokio::task::block_in_place(|| {
                place.testbed.signal(component, Signal::Kill)?;
                place.testbed.restart(component)
            })
        }
        Hindrance::Stands(component, time) => {
            cluster.begun().await?;
            let _still = Still::new(place.testbed, component)?;
            tokio::time::sleep(time).await;
            Ok(())
        }
    }
}

/// A component that stands still as long as this lives.
struct Still<'a>(&'a Testbed, Component);

impl<'a> Still<'a> {
    fn new(testbed: &'a Testbed, component: Component) -> anyhow::Result<Self> {
        testbed.signal(component, Signal::Stop)?;
        Ok(Self(testbed, component))
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // A testbed that does not answer is going away with all its components.
        self.0.signal(self.1, Signal::Cont).ok();
    }
}

/// Waits until the data plane knows the Service: requests before that say nothing about a rollout.
async fn reachable(port: u16) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let probe = load(port, 100).mode(Mode::Fresh).total(30).start()?.finish().await;
        if probe.failed == 0 {
            return Ok(());
        }
        let limit = Duration::from_secs(60);
        ensure!(begun.elapsed() < limit, "version 1 cannot be reached within {limit:?}: {probe}");
    }
}

fn start(port: u16, rate: u32, timeline: &Timeline) -> anyhow::Result<[Running; 2]> {
    let half = |mode| {
        let load = timeline.watch(load(port, rate / 2).mode(mode));
        load.start().context("failed to start the load")
    };
    Ok([half(Mode::KeepAlive)?, half(Mode::Fresh)?])
}

fn load(port: u16, rate: u32) -> Load {
    let node = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let endpoints = Endpoints::from_fn(move || Some(node));
    Load::new(endpoints).rate(rate).connections(50).max_duration(AT_MOST).spread_sources()
}
