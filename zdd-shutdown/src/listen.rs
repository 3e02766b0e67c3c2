//! Listeners that are closed without losing what waits in their queue.
//!
//! Closing a listener resets every connection that the kernel has completed
//! and nobody has accepted. There is no call for "refuse new, keep queued", so
//! the queue is emptied first and the listener closed in the same turn.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use crate::accepted::Accepted;

/// How long accepting pauses when the process is out of file descriptors.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// What happens to the accept queue when the server stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backlog {
    /// Its connections are left to the next process: for a listener that
    /// somebody else holds open, as systemd does with socket activation.
    Leave,
    /// Its connections are accepted and served.
    #[default]
    Serve,
}

/// What [`Server::serve`](crate::Server::serve) listens on; made `From` tokio's listeners.
#[derive(Debug)]
pub struct Listener(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(Inner::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self(Inner::Unix(listener))
    }
}

impl Listener {
    /// Accepts a connection. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Accepts a connection; the last task that asked is the one that is woken.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(Ok(match &self.0 {
            Inner::Tcp(listener) => {
                let (stream, address) = ready!(listener.poll_accept(cx))?;
                // Responses are written whole; waiting for more to send only delays them.
                let _ = stream.set_nodelay(true);
                (stream, address).into()
            }
            #[cfg(unix)]
            Inner::Unix(listener) => ready!(listener.poll_accept(cx))?.into(),
        }))
    }

    /// Returns the address it listens on; none for Unix sockets.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Inner::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Inner::Unix(_) => Ok(None),
        }
    }

    /// Accepts what waits in the queue, then closes. Returns what it accepted, and
    /// an error if that was not all.
    pub(crate) fn close(self, backlog: Backlog) -> (Vec<Accepted>, io::Result<()>) {
        let mut rescued = Vec::new();
        let closed = match backlog {
            Backlog::Leave => Ok(()),
            Backlog::Serve => self.empty(&mut rescued),
        };
        (rescued, closed)
    }

    /// Through the standard library, since tokio believes its last "would
    /// block" until the reactor has run, and would end too early.
    fn empty(self, rescued: &mut Vec<Accepted>) -> io::Result<()> {
        match self.0 {
            Inner::Tcp(listener) => {
                let listener = listener.into_std()?;
                while let Some((stream, address)) = next(|| listener.accept())? {
                    stream.set_nonblocking(true)?;
                    let _ = stream.set_nodelay(true);
                    let stream = tokio::net::TcpStream::from_std(stream)?;
                    rescued.push((stream, address).into());
                }
            }
            #[cfg(unix)]
            Inner::Unix(listener) => {
                let listener = listener.into_std()?;
                while let Some((stream, _)) = next(|| listener.accept())? {
                    stream.set_nonblocking(true)?;
                    let stream = tokio::net::UnixStream::from_std(stream)?;
                    rescued.push(stream.into());
                }
            }
        }
        Ok(())
    }
}

/// Accepts once, or nothing from an empty queue; a connection that broke in the queue
/// must not hide the next.
fn next<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match accept() {
            Err(error) if is_about_connection(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            accepted => return accepted.map(Some),
        }
    }
}

/// Returns whether an accept error says something about one connection only.
pub(crate) fn is_about_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
