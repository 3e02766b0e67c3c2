//! Ends the process without asking anybody.
//!
//! Everything here must work while the runtime is stuck, while another thread
//! holds any lock, and while standard error is a pipe that nobody reads. So
//! there is no logging through `tracing`, and the last line is written by a
//! thread of its own that gets a moment and no more.

use std::{
    io::{self, Write},
    sync::{Arc, Weak, mpsc},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::shared::Shared;

/// How long the last line may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Where the watchdog finds the state it reports; filled once the state exists.
pub(crate) type Place = Arc<std::sync::OnceLock<Weak<Shared>>>;

/// Starts the thread that ends the process at the deadline it is sent.
pub(crate) fn watchdog(place: Place) -> io::Result<mpsc::Sender<Instant>> {
    let (arm, armed) = mpsc::channel::<Instant>();
    let body = move || {
        let Ok(deadline) = armed.recv() else { return };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                exit(&place, "deadline reached", 1);
            }
            thread::sleep(left);
        }
    };
    thread::Builder::new().name("zdd-watchdog".into()).spawn(body)?;
    Ok(arm)
}

/// Writes one line and exits with `code`.
pub(crate) fn exit(place: &Place, why: &str, code: u8) -> ! {
    let line = match place.get().and_then(Weak::upgrade) {
        Some(shared) => {
            let (phase, alive) = (shared.phase(), shared.alive());
            format!(
                "zdd-shutdown: forced exit with code {code} ({why}) in phase {phase}: {} requests, {} connections left\n",
                alive.in_flight(),
                alive.open(),
            )
        }
        None => format!("zdd-shutdown: forced exit with code {code} ({why})\n"),
    };
    let (done, written) = mpsc::channel();
    let writer = thread::Builder::new().spawn(move || {
        // Not `Stderr`'s lock: the thread that hangs could hold it.
        let _ = raw_stderr(line.as_bytes());
        let _ = done.send(());
    });
    if writer.is_ok() {
        let _ = written.recv_timeout(LAST_WORDS);
    }
    now(i32::from(code))
}

#[cfg(unix)]
fn raw_stderr(line: &[u8]) -> io::Result<()> {
    use std::{fs::File, os::fd::AsFd};
    File::from(io::stderr().as_fd().try_clone_to_owned()?).write_all(line)
}

#[cfg(not(unix))]
fn raw_stderr(line: &[u8]) -> io::Result<()> {
    io::stderr().write_all(line)
}

/// Exits without `atexit` handlers, which could wait for what hangs.
#[cfg(unix)]
fn now(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

#[cfg(not(unix))]
fn now(code: i32) -> ! {
    std::process::exit(code)
}
