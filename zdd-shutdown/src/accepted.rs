//! A connection that was accepted, whoever did it.

use std::{fmt, net::SocketAddr};

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::{
    TrackedIo,
    conn::{Peer, stream::Stream},
    counter::Place,
};

/// What [`Server::serve_connection`](crate::Server::serve_connection) serves; made
/// `From` what the listeners of tokio and of this crate accept.
pub struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// Its place among the connections of foreign servers, if it was meant for one.
    pub(crate) foreign: Option<Place>,
}

impl From<(TcpStream, SocketAddr)> for Accepted {
    fn from((stream, address): (TcpStream, SocketAddr)) -> Self {
        Self { stream: Stream::Tcp(stream), peer: Peer::Address(address), foreign: None }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Accepted {
    fn from(stream: UnixStream) -> Self {
        Self { stream: Stream::Unix(stream), peer: Peer::Unix, foreign: None }
    }
}

#[cfg(unix)]
impl From<(UnixStream, tokio::net::unix::SocketAddr)> for Accepted {
    fn from((stream, _): (UnixStream, tokio::net::unix::SocketAddr)) -> Self {
        stream.into()
    }
}

impl From<TrackedIo> for Accepted {
    fn from(io: TrackedIo) -> Self {
        let TrackedIo { io, peer, place } = io;
        Self { stream: io.into_inner(), peer, foreign: Some(place) }
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.fmt(f)
    }
}
