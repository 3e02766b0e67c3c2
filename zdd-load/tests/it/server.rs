//! Servers whose every byte the test decides.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use zdd_load::{Endpoints, Load, Report};

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A listener that hands each connection to `serve`, until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepting: AbortHandle,
    _tasks: JoinSet<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) async fn server<F, S>(serve: S) -> Server
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let accepting = tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            connections.spawn(serve(stream));
        }
    });
    Server { address, accepting, _tasks: tasks }
}

/// Reads one request without a body; `false` at the end of the stream.
pub(crate) async fn request(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => seen.push(byte[0]),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

pub(crate) async fn respond(stream: &mut TcpStream, bytes: &[u8]) {
    // The client may be gone by now; what it counted is what the test checks.
    let _ = stream.write_all(bytes).await;
}

/// Makes the close of this socket a RST.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A load of a few requests, one after the other.
pub(crate) fn load(address: SocketAddr) -> Load {
    Load::new(Endpoints::loopback([address]).unwrap())
        .connections(1)
        .rate(200)
        .total(3)
        .request_timeout(Duration::from_secs(5))
}

pub(crate) async fn report(load: Load) -> Report {
    let report = load.start().unwrap().finish().await;
    assert_eq!(report.sent, report.ok + report.failed, "{report}");
    assert_eq!(report.failed, report.causes.values().sum::<u64>(), "{report}");
    report
}
