//! A server to send signals to: by the process tests, or by hand.
//!
//! ```text
//! cargo run -p zdd-shutdown --example victim -- serve
//! curl http://127.0.0.1:8080/ & kill -TERM $(pidof victim)
//! ```
//!
//! Beside HTTP it answers gRPC health checks. It prints `listening <address>`, `began <path>` for each request, `phase
//! <phase>` for each phase, then, at its end, `handled <requests>` and the
//! report. `PORT` sets its port, unless systemd has opened one,
//! `RUNTIME=current_thread` its runtime; the shutdown is set by the `ZDD_…` variables.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to its user")]

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use tokio::{runtime::Handle, sync::Notify};
use tonic::service::Routes;
use zdd_shutdown::{Backlog, Listener, Reason, Report, SecondSignal, Server, Shutdown, Stage};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // Before the runtime: a signal can come at any time.
    let mode = std::env::args().nth(1).unwrap_or_else(|| "serve".to_owned());
    let builder = Shutdown::builder().slow_client(Duration::from_millis(500)).from_env();
    let shutdown = match mode.as_str() {
        "force" => builder.second_signal(SecondSignal::Force),
        "code" => builder.second_signal_exit_code(7),
        _ => builder,
    }
    .install()?;
    for warning in shutdown.warnings() {
        eprintln!("warning: {warning}");
    }

    let mut runtime = match std::env::var("RUNTIME").as_deref() {
        Ok("current_thread") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    tell_phases(&shutdown)?;
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(run(&mode, shutdown))?;
    println!("{report}");
    report.exit()
}

/// Prints each phase, from a thread that works while the runtime is blocked.
fn tell_phases(shutdown: &Shutdown) -> Result<(), Error> {
    let mut watch = shutdown.watch();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let tell = move || {
        while runtime.block_on(watch.changed()).is_ok() {
            println!("phase {}", *watch.borrow_and_update());
        }
    };
    thread::Builder::new().name("phases".into()).spawn(tell)?;
    Ok(())
}

async fn run(mode: &str, shutdown: Shutdown) -> Result<Report, Error> {
    shutdown.on_shutdown(Stage::Database, "pool", async { println!("hook pool") })?;
    match mode {
        "starting" => {
            println!("listening nowhere");
            Ok(shutdown.finish().await)
        }
        "critical" => {
            let lost = Arc::new(Notify::new());
            let losing = Arc::clone(&lost);
            shutdown.spawn_critical("leader", async move {
                losing.notified().await;
                Err("lost the lease")
            });
            serve(shutdown, lost).await
        }
        "completed" => {
            shutdown.readiness().mark_ready();
            shutdown.trigger(Reason::Completed);
            Ok(shutdown.finish().await)
        }
        _ => serve(shutdown, Arc::default()).await,
    }
}

async fn serve(shutdown: Shutdown, lease: Arc<Notify>) -> Result<Report, Error> {
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let counted = post(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        "counted"
    });
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/count", counted)
        .route("/sleep/{ms}", get(sleep))
        .route("/block/{ms}", get(block))
        .route("/stuck/{ms}", get(stuck))
        .route(
            "/lose-the-lease",
            get(async move || {
                lease.notify_one();
                "lost"
            }),
        );
    let (_, health) = shutdown.grpc_health();
    let app = app.merge(Routes::new(health).into_axum_router());

    let (listener, backlog) = listen().await?;
    #[cfg(unix)]
    shutdown.notify_systemd();
    match listener.local_addr()? {
        Some(address) => println!("listening {address}"),
        None => println!("listening on a Unix socket"),
    }
    Server::new(&shutdown).backlog(backlog).serve(listener, app).await?;
    println!("handled {}", handled.load(Ordering::Relaxed));
    Ok(shutdown.finish().await)
}

/// Takes the socket of systemd, or opens one.
async fn listen() -> Result<(Listener, Backlog), Error> {
    #[cfg(unix)]
    if let Some(listener) = Listener::from_systemd(0)? {
        return Ok((listener, Backlog::Leave));
    }
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok((listener.into(), Backlog::Serve))
}

async fn sleep(Path(ms): Path<u64>) -> &'static str {
    println!("began /sleep/{ms}");
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "slept"
}

/// Blocks every worker of the runtime, as a handler should not block even one.
///
/// One request per worker would not do: what comes next may wait in the queue of one that is
/// blocked already.
async fn block(Path(ms): Path<u64>) -> &'static str {
    let runtime = Handle::current();
    let workers = runtime.metrics().num_workers();
    let all = Arc::new(Barrier::new(workers));
    let others = Arc::clone(&all);
    // From outside of the runtime, tasks go to whichever worker is free.
    thread::spawn(move || {
        for _ in 1..workers {
            let all = Arc::clone(&others);
            runtime.spawn(async move {
                all.wait();
                thread::sleep(Duration::from_millis(ms));
            });
        }
    });
    all.wait();
    println!("began /block/{ms}");
    thread::sleep(Duration::from_millis(ms));
    "blocked"
}

/// Leaves a blocking task behind that the drop of the runtime would wait for.
async fn stuck(Path(ms): Path<u64>) -> &'static str {
    println!("began /stuck/{ms}");
    drop(tokio::task::spawn_blocking(move || thread::sleep(Duration::from_millis(ms))));
    "stuck"
}
