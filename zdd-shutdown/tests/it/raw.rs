//! A raw HTTP/1 client: it never retries, so that nothing lost is hidden.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longest that any single step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) io: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

impl From<TcpStream> for Client {
    fn from(io: TcpStream) -> Self {
        Self { io, buffer: Vec::new() }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { io: within(TcpStream::connect(address)).await.unwrap(), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.io.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends a GET and returns the response.
    pub(crate) async fn get(&mut self, target: &str) -> io::Result<Response> {
        self.exchange(&format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    /// Sends a whole request and returns the response.
    pub(crate) async fn exchange(&mut self, request: &str) -> io::Result<Response> {
        within(self.io.write_all(request.as_bytes())).await?;
        self.response().await
    }

    pub(crate) async fn response(&mut self) -> io::Result<Response> {
        let head = self.head().await?;
        let length = header(&head, "content-length").map(|value| value.parse().unwrap());
        let body = match length {
            Some(length) => self.take(length).await?,
            None if header(&head, "transfer-encoding") == Some("chunked") => self.chunks().await?,
            None => Vec::new(),
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Response { status, head, body })
    }

    /// Reads up to the empty line.
    pub(crate) async fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return Ok(String::from_utf8(head).unwrap().to_ascii_lowercase());
            }
            self.fill().await?;
        }
    }

    /// Reads one chunk of a chunked body; empty at its proper end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                break String::from_utf8(line).unwrap();
            }
            self.fill().await?;
        };
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = self.take(length + 2).await?;
        chunk.truncate(length);
        Ok(chunk)
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    pub(crate) async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match within(self.io.read_buf(&mut self.buffer)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for FIN; what else comes, a reset included, is an error.
    pub(crate) async fn closed(&mut self) -> io::Result<()> {
        assert!(self.buffer.is_empty(), "unread: {}", self.buffer.escape_ascii());
        match within(self.io.read_buf(&mut self.buffer)).await? {
            0 => Ok(()),
            _ => Err(io::Error::other(format!("got {}", self.buffer.escape_ascii()))),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Bounds a wait.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("nothing happened for ten seconds")
}

/// Waits for a fact.
pub(crate) async fn until(fact: impl Fn() -> bool) {
    within(async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Waits for a fact on this thread, so that nothing else of its runtime gets on.
pub(crate) fn block_until(fact: impl Fn() -> bool) {
    let began = Instant::now();
    while !fact() {
        assert!(began.elapsed() < PATIENCE, "nothing happened for ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}
