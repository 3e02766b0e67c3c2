//! The example service against a real PostgreSQL and a real Redis.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use zdd_load::{Endpoints, Load, Report};

use crate::{services, wire::Wire};

mod trouble;

const LIMIT: Duration = Duration::from_secs(30);

/// The running example.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: mpsc::UnboundedReceiver<String>,
    _reader: JoinSet<()>,
    address: SocketAddr,
}

impl Program {
    async fn start(postgres: SocketAddr, redis: SocketAddr) -> Self {
        Self::listening(command(postgres, redis)).await
    }

    /// Starts it and waits until it listens.
    async fn listening(command: Command) -> Self {
        let mut program = Self::spawn(command);
        let first = timeout(LIMIT, program.lines.next_line()).await.unwrap().unwrap();
        let first = first.expect("the program ended before it listened");
        program.address = first.strip_prefix("listening ").unwrap().parse().unwrap();
        program
    }

    /// Starts it, and does not wait until it listens.
    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = mpsc::unbounded_channel();
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                // The program must be able to write whether or not the test still listens.
                let _ = sender.send(line);
            }
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, lines, log, _reader: reader, address }
    }

    /// Waits until the program logs that it entered this phase.
    async fn entered(&mut self, phase: &str) {
        self.logged(|line| line.contains("shutdown phase entered") && line.contains(phase)).await;
    }

    /// Waits until the program logs a line like this.
    async fn logged(&mut self, wanted: impl Fn(&str) -> bool) {
        let log = async {
            while let Some(line) = self.log.recv().await {
                if wanted(&line) {
                    return;
                }
            }
            panic!("the program ended before it said so");
        };
        timeout(LIMIT, log).await.expect("the program does not say so");
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the end; returns the exit code.
    async fn ended(&mut self) -> Option<i32> {
        timeout(LIMIT, self.child.wait()).await.expect("the program does not end").unwrap().code()
    }

    /// Waits for the end; returns the exit code and the report, its last line.
    async fn end(mut self) -> (Option<i32>, Value) {
        let mut last = String::new();
        let lines = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                last = line;
            }
        };
        timeout(LIMIT, lines).await.expect("the program does not end");
        (self.ended().await, serde_json::from_str(&last).unwrap())
    }
}

/// The command of the program, quicker than in a pod.
fn command(postgres: SocketAddr, redis: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graceful_server"));
    command
        .env("LISTEN", "127.0.0.1:0")
        .env("DATABASE_URL", format!("postgres://app@{postgres}/postgres"))
        .env("REDIS_URL", format!("redis://{redis}"))
        .env("ZDD_SHUTDOWN_LAME_DUCK_MIN", "1s")
        .env("ZDD_SHUTDOWN_LAME_DUCK_MAX", "5s")
        .env("ZDD_SHUTDOWN_DEADLINE", "20s")
        .kill_on_drop(true);
    command
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends one request and returns the response with the time of its last byte.
async fn send(address: SocketAddr, method: &str, path: &str) -> (String, Instant) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    (response, Instant::now())
}

/// Orders at 200 per second, from before SIGTERM into the lame duck.
async fn orders_over_the_signal(program: &Program) -> Report {
    let orders = Load::new(Endpoints::loopback([program.address]).unwrap())
        .path("/orders")
        .post("coffee")
        .connections(8)
        .rate(200)
        .start()
        .unwrap();
    while orders.snapshot().ok < 50 {
        assert!(orders.elapsed() < LIMIT, "{:?}", orders.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    program.terminate();
    let before = orders.snapshot().sent;
    while orders.snapshot().ok < before + 50 {
        assert!(orders.elapsed() < LIMIT, "{:?}", orders.snapshot());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    orders.stop().await
}

#[tokio::test]
async fn pool_and_redis_are_closed_in_order_after_the_last_request() {
    let Some(programs) = services::programs() else { return };
    let (postgres, redis) = (programs.postgres(), programs.redis());
    let (to_postgres, to_redis) = (Wire::to(postgres.address).await, Wire::to(redis.address).await);
    let mut program = Program::start(to_postgres.address, to_redis.address).await;

    // A request that is in PostgreSQL at the signal, outlives the lame duck and
    // needs Redis at its end.
    let slow = send(program.address, "GET", "/report?seconds=3");
    let orders = async {
        let orders = orders_over_the_signal(&program).await;
        program.entered("draining").await;
        // The outbox task has ended by now: this order is for the hook.
        (orders, send(program.address, "POST", "/orders").await.0)
    };
    let ((orders, late), (response, answered)) = tokio::join!(orders, slow);
    let (code, report) = program.end().await;

    assert!(late.starts_with("HTTP/1.1 201"), "{late}");
    assert_eq!(orders.failed, 0, "{orders}");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(code, Some(0), "{report}");
    assert_closed_in_order(&to_postgres, &to_redis, answered);
    let hooks: Vec<_> = report["hooks"].as_array().unwrap().iter().collect();
    let names: Vec<_> = hooks.iter().map(|hook| hook["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["outbox", "postgres", "redis"], "{report}");

    let log = postgres.log();
    assert!(!log.contains("unexpected EOF"), "a connection was dropped, not closed: {log}");
    let accepted = orders.ok + 1;
    assert_eq!(published(redis.address).await, accepted);
    assert_eq!(stored(postgres.address, redis.address).await, accepted.to_string());
}

/// On the wire: last response, goodbye of each PostgreSQL connection, QUIT of Redis.
fn assert_closed_in_order(postgres: &Wire, redis: &Wire, answered: Instant) {
    let pool: Vec<_> = postgres
        .connections()
        .into_iter()
        .filter(|connection| connection.last_at.is_some())
        .collect();
    assert!(pool.len() > 1, "one connection would prove little: {pool:?}");
    for connection in &pool {
        // Terminate, of length 4: PostgreSQL's goodbye.
        assert!(connection.last.ends_with(&[b'X', 0, 0, 0, 4]), "{connection:?}");
        assert!(
            connection.last_at.unwrap() > answered,
            "closed under the last request: {connection:?}"
        );
    }
    let pool_closed = pool.iter().map(|connection| connection.ended.unwrap()).max().unwrap();
    let cache = redis.connections();
    let quit: Vec<_> =
        cache.iter().filter(|connection| connection.last.ends_with(b"QUIT\r\n")).collect();
    assert_eq!(quit.len(), 1, "{cache:?}");
    assert!(quit[0].last_at.unwrap() >= pool_closed, "Redis was closed before PostgreSQL");
}

/// Asks Redis itself how many orders reached the stream.
async fn published(redis: SocketAddr) -> u64 {
    let mut stream = BufReader::new(TcpStream::connect(redis).await.unwrap());
    stream.write_all(b"XLEN orders\r\n").await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim().strip_prefix(':').unwrap().parse().unwrap()
}

/// Asks a fresh start of the program how many orders PostgreSQL holds.
async fn stored(postgres: SocketAddr, redis: SocketAddr) -> String {
    let program = Program::start(postgres, redis).await;
    let (response, _) = send(program.address, "GET", "/report").await;
    response.rsplit("\r\n\r\n").next().unwrap().to_owned()
}
