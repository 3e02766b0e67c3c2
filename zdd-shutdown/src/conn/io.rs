//! The socket of a connection, shared between hyper and the driver.
//!
//! hyper owns its IO and hands it to the handler of an upgrade. The driver has
//! to look into the same socket: for a request that waits behind an idle
//! connection, and for unread input after the last response. So the socket
//! sits behind a mutex that both hold. The mutex is never contended, since
//! hyper and the driver take turns in one task.

use std::{
    fmt, io,
    mem::MaybeUninit,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

use crate::{
    conn::{Conn, stream::Stream},
    counter::Place,
    shared::lock,
};

/// A socket and its place among the counted connections, which it keeps until
/// it really closes: also through an upgrade.
pub(crate) struct Link {
    socket: Mutex<Stream>,
    pub(crate) conn: Arc<Conn>,
    closed: Mutex<Option<oneshot::Sender<()>>>,
    _place: Place,
}

impl Link {
    pub(crate) fn new(socket: Stream, conn: Arc<Conn>) -> Arc<Self> {
        let place = conn.shared.connections.enter();
        Arc::new(Self { socket: Mutex::new(socket), conn, closed: Mutex::default(), _place: place })
    }

    /// Looks whether input waits in the kernel, or the end of it.
    pub(crate) fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match lock(&self.socket).sock_ref().peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Sends FIN; the peer may still send.
    pub(crate) fn close_write(&self) {
        // An error means that it is closed already.
        let _ = lock(&self.socket).sock_ref().shutdown(Shutdown::Write);
    }

    /// Ends the connection under whoever uses it.
    pub(crate) fn sever(&self) {
        let _ = lock(&self.socket).sock_ref().shutdown(Shutdown::Both);
    }

    /// Reads and throws away.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *lock(&self.socket)).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Returns a future that ends when the last user of the socket is gone.
    pub(crate) fn on_close(&self) -> oneshot::Receiver<()> {
        let (closed, receiver) = oneshot::channel();
        *lock(&self.closed) = Some(closed);
        receiver
    }
}

/// The side of a [`Link`] that is read and written.
pub(crate) struct DrainIo {
    link: Arc<Link>,
}

impl DrainIo {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

impl AsyncRead for DrainIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let result = ready!(Pin::new(&mut *lock(&self.link.socket)).poll_read(cx, buf));
        let read = buf.filled().len() - before;
        if read > 0 {
            self.link.conn.read.fetch_add(read as u64, Relaxed);
        } else if room {
            // The end, or an error, after which nothing comes either.
            self.link.conn.read_closed.store(true, Relaxed);
        }
        Poll::Ready(result)
    }
}

impl DrainIo {
    fn note_write(&self, poll: &Poll<io::Result<usize>>) {
        self.link.conn.write_blocked.store(poll.is_pending(), Relaxed);
        if let Poll::Ready(Ok(written)) = poll {
            self.link.conn.written.fetch_add(*written as u64, Relaxed);
        }
    }
}

impl AsyncWrite for DrainIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *lock(&self.link.socket)).poll_write(cx, buf);
        self.note_write(&poll);
        poll
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written to a socket is with the kernel; asking would lock for nothing.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.link.socket)).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut *lock(&self.link.socket)).poll_write_vectored(cx, bufs);
        self.note_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        // True for all sockets there are; asking would lock for nothing.
        true
    }
}

impl fmt::Debug for DrainIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DrainIo").field(&self.link.conn).finish()
    }
}
