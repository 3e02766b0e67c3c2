//! A raw HTTP/2 client that shows every frame and answers only what it is told to.

use std::{io, net::SocketAddr};

use tokio::io::AsyncReadExt;

use crate::raw::{Client, within};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) struct Frames(pub(crate) Client);

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// Last stream id of a GOAWAY.
    pub(crate) fn last_stream(&self) -> u32 {
        assert_eq!(self.kind, GOAWAY, "{self:?}");
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    pub(crate) fn is_ok(&self) -> bool {
        // Index 8 of the static table is `:status: 200`.
        self.kind == HEADERS && self.payload[0] == 0x88
    }
}

impl Frames {
    /// Sends the preface and nothing else.
    pub(crate) async fn preface(address: SocketAddr) -> Self {
        Self::preface_on(Client::connect(address).await).await
    }

    async fn preface_on(mut client: Client) -> Self {
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        Self(client)
    }

    /// Connects and finishes the handshake.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::handshake(Client::connect(address).await).await
    }

    /// Finishes the handshake.
    pub(crate) async fn handshake(client: Client) -> Self {
        let mut frames = Self::preface_on(client).await;
        frames.send(SETTINGS, 0, 0, &[]).await;
        assert_eq!(frames.next().await.unwrap().kind, SETTINGS);
        frames.send(SETTINGS, ACK, 0, &[]).await;
        frames
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.send(frame).await;
    }

    /// Opens a stream with a GET.
    pub(crate) async fn get(&mut self, stream: u32, target: &str) {
        let mut block = vec![0x82, 0x86];
        literal(&mut block, &[0x04], target);
        literal(&mut block, &[0x01], "test");
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
    }

    /// Opens a stream with an extended CONNECT.
    pub(crate) async fn extended_connect(&mut self, stream: u32, target: &str) {
        let mut block = Vec::new();
        literal(&mut block, &[0x02], "CONNECT");
        block.push(0x86);
        literal(&mut block, &[0x04], target);
        literal(&mut block, &[0x01], "test");
        literal(&mut block, b"\x00\x09:protocol", "websocket");
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    /// Checks that this is the first GOAWAY, answers the PING behind it, and leaves the second for later.
    pub(crate) async fn goes_away(&mut self, first: Frame) {
        assert_eq!(first.last_stream(), (1 << 31) - 1);
        let ping = self.next().await.unwrap();
        self.pong(&ping).await;
    }

    pub(crate) async fn pong(&mut self, ping: &Frame) {
        assert_eq!(ping.kind, PING, "{ping:?}");
        self.send(PING, ACK, 0, &ping.payload).await;
    }

    /// Returns the next frame; acknowledgements of settings and window
    /// updates are of no interest here.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        loop {
            let head = self.0.take(9).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = self.0.take(length as usize).await?;
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            if !(frame.kind == SETTINGS && frame.flags == ACK) && frame.kind != WINDOW_UPDATE {
                return Ok(frame);
            }
        }
    }

    /// Waits for the end of the connection, whatever is sent before.
    pub(crate) async fn closed(mut self) -> io::Result<Vec<Frame>> {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Ok(frame) => seen.push(frame),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let rest = within(self.0.io.read_u8()).await;
                    assert!(rest.is_err());
                    return Ok(seen);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads GOAWAY and PING, answers, and reads the second GOAWAY.
pub(crate) async fn two_goaways(client: &mut Frames) -> u32 {
    let first = client.next().await.unwrap();
    client.goes_away(first).await;
    client.next().await.unwrap().last_stream()
}

/// Writes a header that is not indexed, by the prefix of its name.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend(name);
    block.push(u8::try_from(value.len()).unwrap());
    block.extend(value.as_bytes());
}
