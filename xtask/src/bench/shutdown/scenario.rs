//! What is measured: the rows of the table before they have numbers.

use std::time::Duration;

use zdd_load::Mode;

use super::Args;

/// One thing to measure, on several servers.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) load: Option<LoadShape>,
    /// When the data plane sends new connections to the next pod, counted from the deletion of the old one.
    pub(crate) traffic_moves: Option<Duration>,
    pub(crate) shutdowns: u32,
    pub(crate) peers: Vec<Peer>,
    pub(crate) threads: usize,
    pub(crate) bar: Bar,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadShape {
    pub(crate) mode: Mode,
    pub(crate) connections: usize,
    /// Requests per second; as many as the server answers if `None`.
    pub(crate) rate: Option<u32>,
    pub(crate) path: &'static str,
}

/// A server and how it is run.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<&'static str>,
    pub(crate) env: Vec<(&'static str, &'static str)>,
    /// From the deletion of the pod to SIGTERM: a preStop hook that sleeps.
    pub(crate) pre_stop: Duration,
    /// What is there to compare with needs fewer shutdowns than what has a bar to reach.
    pub(crate) at_most: u32,
    /// Whether the bar is for this one; the others are there to compare.
    pub(crate) ours: bool,
}

/// What the mean of a row must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    Lost(f64),
    ExitWithin(Duration),
    ExitAt {
        deadline: Duration,
        tolerance: Duration,
    },
    /// Processor time per request over that of the baseline, in percent.
    CostWithin {
        baseline: &'static str,
        percent: f64,
    },
}

impl Scenario {
    /// Returns how many shutdowns a peer gets.
    pub(crate) fn shutdowns_of(&self, peer: &Peer) -> usize {
        self.shutdowns.min(peer.at_most) as usize
    }
}

impl Peer {
    fn stock(name: &'static str) -> Self {
        Self {
            name,
            args: vec!["--server", name],
            env: Vec::new(),
            pre_stop: Duration::ZERO,
            at_most: u32::MAX,
            ours: false,
        }
    }

    /// zdd-shutdown's own serve loop.
    fn zdd() -> Self {
        Self { ours: true, ..Self::stock("zdd") }
    }

    /// Its layer on `axum::serve`; shown beside it, and without a bar.
    fn zdd_layer() -> Self {
        Self::stock("zdd-layer")
    }

    /// As in a pod, where zdd's defaults are those of Kubernetes.
    fn in_pod(self) -> Self {
        self.env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn at_most(self, at_most: u32) -> Self {
        Self { at_most, ..self }
    }

    fn pre_stop(self, seconds: u64) -> Self {
        Self { pre_stop: Duration::from_secs(seconds), ..self }
    }
}

fn stock() -> Vec<Peer> {
    ["axum-serve", "axum-server", "hyper-util"].map(Peer::stock).into()
}

fn with_zdd(mut peers: Vec<Peer>, zdd: impl IntoIterator<Item = Peer>) -> Vec<Peer> {
    peers.extend(zdd);
    peers
}

/// All servers behind a data plane that lags; the stock ones as they are, and with the sleep that everyone adds.
/// Those to compare with get `compared` shutdowns.
fn in_kubernetes(compared: u32) -> Vec<Peer> {
    vec![
        Peer::stock("axum-serve").at_most(5),
        Peer::stock("axum-serve").pre_stop(5).named("axum-serve + preStop 5 s").at_most(compared),
        Peer::zdd_layer().in_pod().at_most(compared),
        Peer::zdd().in_pod(),
    ]
}

pub(crate) fn all(args: &Args) -> Vec<Scenario> {
    vec![
        default_settings(args),
        no_lame_duck(args),
        fresh(args),
        http2(args),
        idle(args),
        blocked(args),
        throughput(args),
    ]
}

fn keep_alive(args: &Args) -> LoadShape {
    LoadShape { mode: Mode::KeepAlive, connections: 200, rate: Some(args.rate), path: "/" }
}

fn default_settings(args: &Args) -> Scenario {
    Scenario {
        name: "default",
        what: format!(
            "200 keep-alive connections, {} rps, default settings, traffic moves after 1 s",
            args.rate
        ),
        load: Some(keep_alive(args)),
        traffic_moves: Some(Duration::from_secs(1)),
        shutdowns: args.shutdowns,
        peers: in_kubernetes(20),
        threads: args.threads,
        bar: Bar::Lost(0.0),
    }
}

fn no_lame_duck(args: &Args) -> Scenario {
    Scenario {
        name: "no-lame-duck",
        what: format!(
            "200 keep-alive connections, {} rps, no lame duck, traffic never moves",
            args.rate
        ),
        load: Some(keep_alive(args)),
        traffic_moves: None,
        shutdowns: args.shutdowns,
        peers: with_zdd(stock(), [Peer::zdd_layer().at_most(10), Peer::zdd()]),
        threads: args.threads,
        bar: Bar::Lost(0.5),
    }
}

fn fresh(args: &Args) -> Scenario {
    Scenario {
        name: "fresh",
        what: "5,000 fresh connections per second, default settings, traffic moves after 1 s"
            .to_owned(),
        load: Some(LoadShape { mode: Mode::Fresh, connections: 200, rate: Some(5_000), path: "/" }),
        traffic_moves: Some(Duration::from_secs(1)),
        shutdowns: args.shutdowns,
        peers: in_kubernetes(10),
        threads: args.threads,
        bar: Bar::Lost(0.0),
    }
}

fn http2(args: &Args) -> Scenario {
    Scenario {
        name: "http2",
        what: "HTTP/2, 10 connections with 100 streams each in flight, traffic moves after 1 s"
            .to_owned(),
        load: Some(LoadShape {
            mode: Mode::Http2 { streams: 100 },
            connections: 10,
            rate: Some(8_000),
            path: "/wait?ms=100",
        }),
        traffic_moves: Some(Duration::from_secs(1)),
        shutdowns: args.shutdowns,
        peers: in_kubernetes(10),
        threads: args.threads,
        bar: Bar::Lost(0.0),
    }
}

fn idle(args: &Args) -> Scenario {
    Scenario {
        name: "idle",
        what: "exit time with 200 idle keep-alive connections, no lame duck".to_owned(),
        load: None,
        traffic_moves: None,
        shutdowns: args.shutdowns.div_ceil(10),
        peers: with_zdd(stock(), [Peer::zdd()]),
        threads: args.threads,
        bar: Bar::ExitWithin(Duration::from_secs(2)),
    }
}

fn blocked(args: &Args) -> Scenario {
    Scenario {
        name: "blocked",
        what: "exit time when every worker thread is blocked, deadline 3 s".to_owned(),
        load: None,
        traffic_moves: None,
        shutdowns: args.shutdowns.div_ceil(10),
        peers: vec![
            Peer::stock("axum-serve").at_most(1),
            Peer::zdd().env("ZDD_SHUTDOWN_DEADLINE", "3s"),
        ],
        threads: args.threads,
        bar: Bar::ExitAt {
            deadline: Duration::from_secs(3),
            tolerance: Duration::from_millis(100),
        },
    }
}

/// The layer on hyper, with tower-http's beside it; then on axum, and the serve loop.
fn throughput(args: &Args) -> Scenario {
    let baseline = "bare";
    Scenario {
        name: "throughput",
        what: "32 keep-alive connections, as fast as the server answers, nothing shut down"
            .to_owned(),
        load: Some(LoadShape { mode: Mode::KeepAlive, connections: 32, rate: None, path: "/" }),
        traffic_moves: None,
        shutdowns: args.shutdowns.div_ceil(2),
        peers: vec![
            Peer::stock(baseline),
            Peer::stock("bare-in-flight"),
            Peer { ours: true, ..Peer::stock("bare-layer") },
            Peer::stock("axum-serve"),
            Peer::stock("axum-in-flight"),
            Peer::zdd_layer(),
            Peer { ours: false, ..Peer::zdd() },
        ],
        threads: args.threads,
        bar: Bar::CostWithin { baseline, percent: 1.0 },
    }
}
