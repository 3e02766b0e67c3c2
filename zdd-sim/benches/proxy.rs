//! What the data plane costs: processor time of the proxy per request, and the latency that it
//! adds.
//!
//! `cargo bench -p zdd-sim --bench proxy`
//!
//! The proxy has a thread of its own, whose processor time is read; client and servers share the
//! rest of the machine. So the requests per second that the proxy could do on one core are known
//! even where the client cannot send them.
#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run has nothing better to do")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use zdd_load::{Endpoints, Load, Mode, Report};
use zdd_sim::{Cluster, Collection, Latencies, Proxy, ServicePort};

const BACKENDS: u8 = 3;
const CONNECTIONS: usize = 16;
/// The rate at which latencies are compared, in requests per second.
const RATE: u32 = 3_000;
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let (backends, clock, proxied) = (servers(), mpsc::unbounded_channel(), oneshot::channel());
    let (ask, questions) = clock;
    let routed = backends.clone();
    std::thread::spawn(move || proxy(&routed, proxied.0, questions));
    runtime().block_on(async move {
        let proxied = proxied.1.await.unwrap();
        println!(
            "{:<34} {:>8} {:>7} {:>7} {:>7} {:>9}",
            "", "req/s", "p50 us", "p99 us", "cpu us", "req/s/cpu"
        );
        for (mode, name) in [(Mode::KeepAlive, "keep-alive"), (Mode::Fresh, "fresh")] {
            let direct = send(&backends, mode, Some(RATE)).await;
            print(&format!("{name}, direct"), &direct, None);
            for (rate, what) in [(Some(RATE), "through the proxy"), (None, "through it, unpaced")] {
                let before = busy(&ask).await;
                let report = send(&[proxied], mode, rate).await;
                let spent = busy(&ask).await - before;
                print(&format!("{name}, {what}"), &report, Some(spent));
            }
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn send(to: &[SocketAddr], mode: Mode, rate: Option<u32>) -> Report {
    let load = Load::new(Endpoints::loopback(to.iter().copied()).unwrap());
    let load = load.mode(mode).connections(CONNECTIONS).max_duration(TIME);
    let load = match rate {
        Some(rate) => load.rate(rate),
        None => load.unpaced(),
    };
    load.start().unwrap().finish().await
}

fn print(name: &str, report: &Report, spent: Option<Duration>) {
    assert_eq!(report.failed, 0, "{report}");
    let requests = u32::try_from(report.ok).unwrap();
    let per_second = report.ok * 1000 / report.elapsed_ms.max(1);
    let latency = report.latency_us;
    print!("{name:<34} {per_second:>8} {:>7} {:>7}", latency.p50, latency.p99);
    match spent.map(|spent| spent / requests) {
        Some(each) => {
            let per_core = Duration::from_secs(1).as_nanos() / each.as_nanos();
            println!(" {:>7.1} {per_core:>9}", each.as_secs_f64() * 1e6);
        }
        None => println!(),
    }
}

type Question = oneshot::Sender<Duration>;

/// Asks the proxy's thread for its processor time.
async fn busy(ask: &mpsc::UnboundedSender<Question>) -> Duration {
    let (answer, answered) = oneshot::channel();
    ask.send(answer).unwrap();
    answered.await.unwrap()
}

fn proxy(
    backends: &[SocketAddr],
    ready: oneshot::Sender<SocketAddr>,
    mut questions: mpsc::UnboundedReceiver<Question>,
) {
    runtime().block_on(async move {
        let cluster = Cluster::builder().latencies(Latencies::none()).build();
        cluster.with_store(|store| {
            for at in backends {
                let actor = Arc::from("bench");
                store.create(&actor, &Collection::ENDPOINT_SLICES, slice(*at)).unwrap();
            }
        });
        assert_eq!(cluster.step(), None, "the routes are complete");
        let proxy = Proxy::new(cluster.routes());
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let web = ServicePort::new("default", "web", "http");
        ready.send(proxy.listen(web, address).unwrap()).unwrap();
        while let Some(answer) = questions.recv().await {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            let seconds = u64::try_from(time.tv_sec).unwrap();
            answer.send(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap())).unwrap();
        }
    });
}

fn slice(at: SocketAddr) -> Value {
    json!({
        "metadata": {
            "name": format!("web-{}", at.ip()),
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": at.port()}],
        "endpoints": [{"addresses": [at.ip().to_string()], "conditions": {"ready": true}}],
    })
}

/// Starts the servers on a thread.
fn servers() -> Vec<SocketAddr> {
    let bind = |number| {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number));
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    };
    let listeners: Vec<_> = (1..=BACKENDS).map(bind).collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let mut tasks = JoinSet::new();
            for listener in listeners {
                tasks.spawn(serve(TcpListener::from_std(listener).unwrap()));
            }
            tasks.join_all().await;
        });
    });
    addresses
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(answer(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut request).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}
