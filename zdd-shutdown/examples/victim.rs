//! A server to send signals to: by the process tests, or by hand.
//!
//! ```text
//! cargo run -p zdd-shutdown --example victim -- serve
//! curl http://127.0.0.1:8080/ & kill -TERM $(pidof victim)
//! ```
//!
//! It prints `listening <address>`, then, at its end, `handled <requests>` and
//! the report. `PORT` sets its port, `RUNTIME=current_thread` its runtime; the
//! shutdown is set by the `ZDD_…` variables.

#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::{
    sync::{
        Arc,
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
use zdd_shutdown::{Reason, Report, SecondSignal, Shutdown, Stage};

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

    let mut runtime = match std::env::var("RUNTIME").as_deref() {
        Ok("current_thread") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(run(&mode, shutdown))?;
    println!("{report}");
    report.exit()
}

async fn run(mode: &str, shutdown: Shutdown) -> Result<Report, Error> {
    shutdown.on_shutdown(Stage::Database, "pool", async { println!("hook pool") })?;
    match mode {
        "starting" => {
            println!("listening nowhere");
            Ok(shutdown.finish().await)
        }
        "critical" => {
            shutdown.spawn_critical("leader", async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Err("lost the lease")
            });
            serve(shutdown).await
        }
        "completed" => {
            shutdown.readiness().mark_ready();
            shutdown.trigger(Reason::Completed);
            Ok(shutdown.finish().await)
        }
        _ => serve(shutdown).await,
    }
}

async fn serve(shutdown: Shutdown) -> Result<Report, Error> {
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
        .route("/stuck/{ms}", get(stuck));

    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    #[cfg(unix)]
    shutdown.notify_systemd();
    println!("listening {}", listener.local_addr()?);
    zdd_shutdown::serve(listener, app, &shutdown).await?;
    println!("handled {}", handled.load(Ordering::Relaxed));
    Ok(shutdown.finish().await)
}

async fn sleep(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "slept"
}

/// Blocks a worker of the runtime, as a handler should not.
async fn block(Path(ms): Path<u64>) -> &'static str {
    thread::sleep(Duration::from_millis(ms));
    "blocked"
}

/// Leaves a blocking task behind that the drop of the runtime would wait for.
async fn stuck(Path(ms): Path<u64>) -> &'static str {
    drop(tokio::task::spawn_blocking(move || thread::sleep(Duration::from_millis(ms))));
    "stuck"
}
