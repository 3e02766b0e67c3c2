//! Talks to systemd: readiness, the end, and sockets that it opened.
//!
//! The notification is one datagram, so it is sent from here and not through
//! a crate.

use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use crate::{handle::ShutdownHandle, listen::Listener, phase::Phase, shared::lock};

impl ShutdownHandle {
    /// Tells systemd of `READY=1` and `STOPPING=1`, and asks for as much time
    /// to stop as the deadline allows. Does nothing when the process was not
    /// started by systemd with `Type=notify`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn notify_systemd(&self) {
        let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
        let handle = self.clone();
        self.spawn("systemd", async move {
            handle.shared.reached(Phase::Serving).await;
            if !handle.is_shutting_down() {
                notify(&path, "READY=1");
            }
            handle.lame_duck().await;
            notify(&path, &stopping(handle.remaining()));
        });
    }
}

/// systemd counts in microseconds.
fn stopping(remaining: Duration) -> String {
    format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", remaining.as_micros())
}

fn notify(path: &str, state: &str) {
    if let Err(error) = send(path, state) {
        tracing::warn!(%error, path, "failed to notify systemd");
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address(path)?).map(drop)
}

/// A path that begins with `@` is in the abstract namespace of Linux.
fn address(path: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

impl Listener {
    /// Takes the socket with the given index from systemd, counted from 0 in
    /// the order of the unit file; `None` when there is none, for example since
    /// the process was started by hand, and when it was taken before.
    ///
    /// systemd keeps the socket open, so that its queue outlives the process:
    /// serve it with [`Backlog::Leave`](crate::Backlog::Leave).
    ///
    /// # Errors
    ///
    /// When the socket is neither a TCP nor a Unix listener.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O enabled, if there is such a socket.
    pub fn from_systemd(index: usize) -> io::Result<Option<Self>> {
        // Kept, since a descriptor must not be given to two owners.
        static SOCKETS: OnceLock<Mutex<ListenFd>> = OnceLock::new();
        let mut sockets = lock(SOCKETS.get_or_init(|| Mutex::new(ListenFd::from_env())));
        if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            return Ok(Some(TcpListener::from_std(listener)?.into()));
        }
        match sockets.take_unix_listener(index)? {
            Some(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Some(UnixListener::from_std(listener)?.into()))
            }
            None => Ok(None),
        }
    }
}
