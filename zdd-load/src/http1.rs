//! HTTP/1.1 over a plain socket: one request at a time, the response read to its last byte.

mod response;

use std::{io, mem::MaybeUninit};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    cause::{Cause, Failure},
    load::{Load, LoadError, Mode},
    worker::Response,
};
use response::{Framing, Head};

/// Heads and trailers longer than this are malformed.
const MAX_HEAD: usize = 64 * 1024;
const READ: usize = 8 * 1024;

/// Refuses settings that would not render as one request.
pub(crate) fn check(load: &Load) -> Result<(), LoadError> {
    let bad =
        |setting, value: &str| Err(LoadError::BadCharacter { setting, value: value.to_owned() });
    let line = |text: &str| text.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte));
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
    };
    if !load.path.starts_with('/') || !load.path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad("path", &load.path);
    }
    if !line(&load.host) {
        return bad("host", &load.host);
    }
    for (name, value) in &load.headers {
        if !token(name) || !line(value) {
            return bad("header", &format!("{name}: {value}"));
        }
    }
    match &load.label_header {
        Some(name) if !token(name) => bad("label header", name),
        Some(_) | None => Ok(()),
    }
}

/// Renders the request once; every worker sends the same bytes.
pub(crate) fn render(load: &Load) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", load.method, load.path, load.host);
    if load.mode == Mode::Fresh {
        text.push_str("connection: close\r\n");
    }
    if load.method == "POST" {
        text.push_str(&format!("content-length: {}\r\n", load.body.len()));
    }
    for (name, value) in &load.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&load.body);
    bytes
}

/// The state of a connection between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    Open,
    /// Closed by the server, or it sent something that nobody asked for.
    Closed,
    Reset,
}

/// Ends when the idle connection does; never without one.
///
/// # Cancel safety
/// Safe: nothing is read that a later request would miss.
pub(crate) async fn idle_end(connection: Option<&Connection>) -> Idle {
    let Some(Connection { stream, .. }) = connection else { return std::future::pending().await };
    loop {
        if stream.readable().await.is_err() {
            return Idle::Reset;
        }
        // `try_read` and not `peek`: only it clears tokio's readiness when there was nothing.
        match stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) => return Idle::Closed,
            Err(_) => return Idle::Reset,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ) }
    }

    /// Looks at the socket itself, not at what tokio last knew of it.
    pub(crate) fn peek(&self) -> Idle {
        match SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Open,
            Ok(_) => Idle::Closed,
            Err(_) => Idle::Reset,
        }
    }

    /// Sends the request and reads the whole response.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        label: Option<&str>,
    ) -> Result<Response, Failure> {
        self.stream.write_all(request).await.map_err(|error| Failure::transfer(&error, 0))?;
        let mut received = 0;
        let head = loop {
            if let Some((head, length)) = Head::parse(&self.buffer, label)? {
                self.buffer.drain(..length);
                // An interim response; the one that counts follows.
                if (100..200).contains(&head.status) && head.status != 101 {
                    continue;
                }
                break head;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(malformed("the head of the response does not end"));
            }
            received += self.fill(received).await?;
        };
        let whole = self.body(head.framing, received).await?;
        let Head { status, label, keep, .. } = head;
        // Bytes after the end of the response belong to no request of ours.
        if keep && whole && !self.buffer.is_empty() {
            return Err(malformed("data after the end of the response"));
        }
        Ok(Response { status, label, keep: keep && whole })
    }

    /// Reads the body to its end; tells whether the framing, and not the end of the stream, marked it.
    async fn body(&mut self, framing: Framing, mut received: usize) -> Result<bool, Failure> {
        match framing {
            Framing::Length(length) => self.skip(length, &mut received).await.map(|()| true),
            Framing::Chunked => {
                loop {
                    let size = self.chunk_size(&mut received).await?;
                    if size == 0 {
                        break;
                    }
                    self.skip(size, &mut received).await?;
                    if !self.line(&mut received).await?.is_empty() {
                        return Err(malformed("a chunk is longer than its size"));
                    }
                }
                while !self.line(&mut received).await?.is_empty() {}
                Ok(true)
            }
            Framing::UntilClose => loop {
                self.buffer.clear();
                let more =
                    self.read().await.map_err(|error| Failure::transfer(&error, received))?;
                received += more;
                if more == 0 {
                    return Ok(false);
                }
            },
        }
    }

    async fn skip(&mut self, mut length: u64, received: &mut usize) -> Result<(), Failure> {
        loop {
            let here = self.buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.buffer.drain(..here);
            length -= here as u64;
            if length == 0 {
                return Ok(());
            }
            *received += self.fill(*received).await?;
        }
    }

    async fn chunk_size(&mut self, received: &mut usize) -> Result<u64, Failure> {
        let line = self.line(received).await?;
        let text = std::str::from_utf8(&line).ok().and_then(|line| line.split(';').next());
        text.and_then(|size| u64::from_str_radix(size.trim(), 16).ok())
            .ok_or_else(|| malformed("a chunk size is not a number"))
    }

    /// Takes one line without its end.
    async fn line(&mut self, received: &mut usize) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer[..end].to_vec();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(malformed("a line of the chunked body does not end"));
            }
            *received += self.fill(*received).await?;
        }
    }

    /// Reads more; the end of the stream is a failure here.
    async fn fill(&mut self, received: usize) -> Result<usize, Failure> {
        match self.read().await {
            Ok(0) => Err(Failure::closed(received)),
            Ok(more) => Ok(more),
            Err(error) => Err(Failure::transfer(&error, received)),
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn malformed(detail: &str) -> Failure {
    Failure::new(Cause::Malformed, detail)
}
