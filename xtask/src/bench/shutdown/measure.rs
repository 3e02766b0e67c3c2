//! One shutdown, measured.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};
use zdd_load::{Cause, Endpoints, Load, Report, Running};

use super::{
    peer::{Ended, Exit, Server},
    scenario::{Bar, LoadShape, Peer, Scenario},
};

/// A server that is not gone by then hangs.
const HANG: Duration = Duration::from_secs(40);
/// The client keeps on for this long after the old server is gone.
const AFTER: Duration = Duration::from_millis(300);

/// How long a throughput is measured.
const THROUGHPUT: Duration = Duration::from_millis(1_000);

/// What one shutdown cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) requests: u64,
    pub(crate) lost: u64,
    pub(crate) causes: BTreeMap<Cause, u64>,
    pub(crate) rps: f64,
    /// Processor time of the server per request, in microseconds, where that was measured.
    pub(crate) cpu: Option<f64>,
    /// 99 of 100 requests were answered within so many microseconds, where that was measured.
    #[serde(default)]
    pub(crate) p99: Option<f64>,
    /// Requests that a handler completed and whose response did not arrive; known when one server had all of them.
    pub(crate) unanswered: Option<u64>,
    pub(crate) exit: Exit,
}

/// Starts a server, loads it, ends it, counts.
pub(crate) async fn shutdown(
    binary: &Path,
    scenario: &Scenario,
    peer: &Peer,
    round: u32,
) -> anyhow::Result<Shutdown> {
    let old = Server::start(binary, peer, scenario.threads).await?;
    match (scenario.load, scenario.bar) {
        (Some(load), Bar::CostWithin { .. }) => throughput(old, load).await,
        (Some(load), _) => under_load(binary, scenario, peer, old, load, round).await,
        (None, Bar::ExitAt { .. }) => blocked(old, scenario.threads).await,
        (None, _) => idle(old).await,
    }
}

async fn under_load(
    binary: &Path,
    scenario: &Scenario,
    peer: &Peer,
    old: Server,
    shape: LoadShape,
    round: u32,
) -> anyhow::Result<Shutdown> {
    let next = match scenario.traffic_moves {
        Some(after) => Some((Server::start(binary, peer, scenario.threads).await?, after)),
        None => None,
    };
    let endpoints = Endpoints::loopback([old.address])?;
    let running = start_load(shape, endpoints.clone())?;
    warm_up(&running, shape, round).await?;

    let deleted = Instant::now();
    let kill = async {
        sleep_until(deleted + peer.pre_stop).await;
        old.terminate()?;
        old.wait(Instant::now(), HANG).await
    };
    let switch = async {
        if let Some((next, after)) = &next {
            sleep_until(deleted + *after).await;
            endpoints.replace([next.address])?;
        }
        anyhow::Ok(())
    };
    let (exit, switched) = tokio::join!(kill, switch);
    let (exit, ()) = (exit?, switched?);
    if next.is_some() {
        sleep(AFTER).await;
    }
    let report = running.stop().await;
    Ok(Shutdown::of(&report, exit, next.is_none()))
}

/// Measures what requests cost while nothing is shut down.
async fn throughput(server: Server, shape: LoadShape) -> anyhow::Result<Shutdown> {
    let running = start_load(shape, Endpoints::loopback([server.address])?)?;
    warm_up(&running, shape, 0).await?;
    let (requests, cpu, since) = (running.snapshot().ok, server.cpu_time()?, Instant::now());
    sleep(THROUGHPUT).await;
    let requests = running.snapshot().ok - requests;
    let (cpu, took) = (server.cpu_time()? - cpu, since.elapsed());
    let report = running.stop().await;
    server.terminate()?;
    let exit = server.wait(Instant::now(), HANG).await?;
    let mut shutdown = Shutdown::of(&report, exit, true);
    shutdown.rps = requests as f64 / took.as_secs_f64();
    shutdown.cpu = Some(cpu as f64 / 1000.0 / requests.max(1) as f64);
    shutdown.p99 = Some(report.latency_us.p99 as f64);
    Ok(shutdown)
}

fn start_load(shape: LoadShape, endpoints: Endpoints) -> anyhow::Result<Running> {
    let load = Load::new(endpoints)
        .mode(shape.mode)
        .connections(shape.connections)
        .path(shape.path)
        .total(u64::MAX)
        .max_duration(Duration::from_secs(120))
        .request_timeout(Duration::from_secs(5));
    let load = match shape.rate {
        Some(rate) => load.rate(rate),
        None => load.unpaced(),
    };
    Ok(load.start()?)
}

/// Waits until the load has run at its rate for half a second; the signal then comes at a different millisecond each round.
async fn warm_up(running: &Running, shape: LoadShape, round: u32) -> anyhow::Result<()> {
    let wanted = u64::from(shape.rate.unwrap_or(10_000)) / 2;
    let limit = Instant::now() + Duration::from_secs(20);
    while running.snapshot().ok < wanted {
        if Instant::now() > limit {
            bail!("the load did not get going: {:?}", running.snapshot());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let snapshot = running.snapshot();
    if snapshot.failed > 0 {
        bail!("requests failed before the shutdown: {snapshot:?}");
    }
    sleep(Duration::from_micros(u64::from(round % 20) * 1_300)).await;
    Ok(())
}

async fn idle(old: Server) -> anyhow::Result<Shutdown> {
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(old.address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut response = [0; 1024];
        let read = stream.read(&mut response).await?;
        if !response[..read].ends_with(b"ok") {
            bail!("unexpected response: {:?}", String::from_utf8_lossy(&response[..read]));
        }
        connections.push(stream);
    }
    old.terminate()?;
    let since = Instant::now();
    // A client closes when the server does.
    let closing = async {
        for mut stream in connections {
            let _ = stream.read(&mut [0]).await;
        }
    };
    let (exit, ()) = tokio::join!(old.wait(since, HANG), closing);
    Ok(Shutdown::unloaded(exit?))
}

async fn blocked(old: Server, threads: usize) -> anyhow::Result<Shutdown> {
    let mut streams = Vec::new();
    for _ in 0..threads {
        let mut stream = TcpStream::connect(old.address).await?;
        stream.write_all(b"GET /block HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        streams.push(stream);
    }
    // Blocked is when a new connection gets no answer any more.
    let limit = Instant::now() + Duration::from_secs(10);
    while answers(old.address).await? {
        if Instant::now() > limit {
            bail!("the server still answers with every worker blocked");
        }
    }
    old.terminate()?;
    let exit = old.wait(Instant::now(), Duration::from_secs(10)).await?;
    Ok(Shutdown::unloaded(exit))
}

async fn answers(address: std::net::SocketAddr) -> anyhow::Result<bool> {
    let mut stream = TcpStream::connect(address).await.context("failed to probe the server")?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    Ok(timeout(Duration::from_millis(500), stream.read(&mut [0])).await.is_ok())
}

impl Shutdown {
    fn of(report: &Report, exit: Exit, alone: bool) -> Self {
        let mut causes = report.causes.clone();
        // Without a next pod the port is closed in the end, and a client that is
        // refused there has met no server that could have lost its request.
        let refused = if alone { causes.remove(&Cause::ConnectRefused) } else { None };
        Self {
            requests: report.sent - refused.unwrap_or(0),
            lost: causes.values().sum(),
            causes,
            unanswered: exit
                .handled
                .filter(|_| alone)
                .map(|handled| handled.saturating_sub(report.ok)),
            cpu: None,
            p99: None,
            rps: report.ok as f64 / (report.elapsed_ms.max(1) as f64 / 1000.0),
            exit,
        }
    }

    fn unloaded(exit: Exit) -> Self {
        Self {
            requests: 0,
            lost: 0,
            causes: BTreeMap::new(),
            rps: 0.0,
            cpu: None,
            p99: None,
            unanswered: None,
            exit,
        }
    }
}

impl fmt::Display for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests at {:.0}/s, {} lost", self.requests, self.rps, self.lost)?;
        for (cause, count) in &self.causes {
            write!(f, ", {cause} {count}")?;
        }
        if let Some(cpu) = self.cpu {
            write!(f, ", {cpu:.2} µs each")?;
        }
        if let Some(p99) = self.p99 {
            write!(f, ", p99 {p99} µs")?;
        }
        match self.exit.by {
            Ended::Hung => write!(f, "; hung"),
            by @ (Ended::Code(_) | Ended::Signal) => {
                write!(f, "; exit {by} after {:.2?}", self.exit.after)
            }
        }
    }
}
