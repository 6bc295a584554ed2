//! A scripted sender of HTTP/2 frames, which can do what no client library would.

use super::http2::start;
use super::tls::Authority;
use crate::config::ServerSettings;
use crate::edge::Limits;
use crate::operator::server::Edge;
use crate::operator::server::testing::{Recorder, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// What a `HEADERS` frame of a request without a body has.
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Reasons of RFC 9113 section 7.
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame as bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// One entry of a `SETTINGS` frame.
pub(super) fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// A header block of literals that leave no trace in any table.
pub(super) fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in lines {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of 7 bits, RFC 7541 section 5.1.
fn integer(bytes: &mut Vec<u8>, value: usize) {
    let Some(mut rest) = value.checked_sub(127) else {
        return bytes.push(u8::try_from(value).unwrap());
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The pseudo-headers of a delivery, and more lines behind them.
pub(super) fn delivery(more: &[(&str, &str)]) -> Vec<u8> {
    let mut lines =
        vec![(":method", "POST"), (":scheme", "https"), (":authority", "test"), (":path", "/in")];
    lines.extend_from_slice(more);
    block(&lines)
}

/// A request without a body.
pub(super) fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &delivery(&[]))
}

/// A request whose body is still to come.
pub(super) fn opened(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &delivery(&[]))
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The nth stream of a sender, from 0.
pub(super) fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// A frame that came.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// How a request of ours ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this status; `"?"` for one that was not in the table.
    Answer(String),
    /// With a reset for this reason.
    Reset(u32),
    /// The connection went, for this reason if one was said.
    Gone(Option<u32>),
}

pub(super) fn answer(status: u16) -> Ended {
    Ended::Answer(status.to_string())
}

/// One connection.
pub(super) struct Sender {
    write: WriteHalf<TlsStream<TcpStream>>,
    frames: UnboundedReceiver<Frame>,
    reader: Option<JoinHandle<()>>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The connection ends with the sender, and so with both halves.
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Sender {
    /// Connects, and says what every client says first.
    pub(super) async fn connect(server: &Server, authority: &Authority) -> Self {
        Self::connect_with(server, authority, &[]).await
    }

    /// With these settings beside the one that keeps answers out of the other side's table, so that
    /// each can be read by itself.
    pub(super) async fn connect_with(
        server: &Server,
        authority: &Authority,
        settings: &[u8],
    ) -> Self {
        let (mut sender, read) = Self::open(server, authority, settings).await;
        let (frames, receiver) = unbounded_channel();
        sender.reader = Some(tokio::spawn(receive(read, frames)));
        sender.frames = receiver;
        sender
    }

    /// One that reads nothing, for as long as the other half is kept.
    pub(super) async fn open(
        server: &Server,
        authority: &Authority,
        settings: &[u8],
    ) -> (Self, ReadHalf<TlsStream<TcpStream>>) {
        let stream = authority.connect(server, &["h2"]).await.unwrap();
        let (read, write) = tokio::io::split(stream);
        let mut sender = Self { write, frames: unbounded_channel().1, reader: None };
        let settings = [&setting(1, 0), settings].concat();
        let greeting = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &settings)[..]];
        assert!(sender.send(greeting.concat()).await);
        (sender, read)
    }

    /// False once the other side takes nothing any more.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let write = async {
            self.write.write_all(bytes.as_ref()).await?;
            self.write.flush().await
        };
        timeout(PATIENCE, write).await.expect("written in time").is_ok()
    }

    /// The next frame; `None` at the end.
    pub(super) async fn receive(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.frames.recv()).await.expect("a frame or the end in time")
    }

    /// Whether the other side has said goodbye by now.
    pub(super) fn is_over(&mut self) -> bool {
        loop {
            match self.frames.try_recv() {
                Ok(frame) if frame.kind == GOAWAY => return true,
                Ok(_) => {}
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Reads to the end of the connection; the reason of the last GOAWAY, if there was one.
    pub(super) async fn goodbye(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.receive().await {
            if frame.kind == GOAWAY {
                reason = Some(number(&frame.payload[4..8]));
            }
        }
        reason
    }

    /// How a request ended. An answer must end whole.
    pub(super) async fn end_of(&mut self, stream: u32) -> Ended {
        let mut status = None;
        while let Some(frame) = self.receive().await {
            if frame.kind == GOAWAY && number(&frame.payload[4..8]) != 0 {
                return Ended::Gone(Some(number(&frame.payload[4..8])));
            }
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                RST_STREAM if status.is_none() => return Ended::Reset(number(&frame.payload)),
                HEADERS => status = Some(status_of(&frame.payload)),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Ended::Answer(status.expect("a head before the end"));
            }
        }
        Ended::Gone(None)
    }
}

async fn receive(mut read: ReadHalf<TlsStream<TcpStream>>, frames: UnboundedSender<Frame>) {
    loop {
        let mut head = [0; 9];
        if read.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::try_from(number(&[0, head[0], head[1], head[2]])).unwrap();
        let mut payload = vec![0; length];
        if read.read_exact(&mut payload).await.is_err() {
            return;
        }
        let stream = number(&head[5..]);
        if frames.send(Frame { kind: head[3], flags: head[4], stream, payload }).is_err() {
            return;
        }
    }
}

pub(super) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// `:status`, which comes first: indexed, or a literal that is plain or three digits of Huffman code.
fn status_of(block: &[u8]) -> String {
    let known = ["200", "204", "206", "304", "400", "404", "500"];
    let block = match block {
        // The table of no bytes that was asked for.
        [0x20, rest @ ..] => rest,
        _ => block,
    };
    match *block {
        [index @ 0x88..=0x8e, ..] => known[usize::from(index - 0x88)].to_owned(),
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => String::from_utf8(vec![a, b, c]).unwrap(),
        [0x08 | 0x18 | 0x48, 0x82, a, b, ..] => digits(u32::from(a) << 8 | u32::from(b), 16),
        [0x08 | 0x18 | 0x48, 0x83, a, b, c, ..] => digits(number(&[0, a, b, c]), 24),
        _ => "?".to_owned(),
    }
}

/// Three digits of RFC 7541, appendix B: 0 to 2 have five bits, the others six.
fn digits(bits: u32, mut left: u32) -> String {
    let mut text = String::new();
    while text.len() < 3 {
        let five = bits >> (left - 5) & 0x1f;
        let (digit, used) =
            if five < 3 { (five, 5) } else { ((bits >> (left - 6) & 0x3f) - 0x19 + 3, 6) };
        text.push(char::from_digit(digit, 10).unwrap());
        left -= used;
    }
    text
}

/// A server whose limits, also those that are not configured, are changed.
pub(super) fn start_with(
    change: impl FnOnce(&mut Limits),
    door: Arc<Recorder>,
) -> (Server, Authority) {
    let mut settings: Option<ServerSettings> = None;
    let (server, authority) = start(|given| settings = Some(given.clone()), door);
    let mut prepared = Edge::prepare(&settings.unwrap()).unwrap();
    change(&mut prepared.limits);
    server.edge.take_over(prepared);
    (server, authority)
}

/// Waits until nothing of any request is left.
pub(super) async fn all_is_over(server: &Server) {
    let wait = async {
        while server.edge.traffic().requests() != 0 || server.metrics.body_bytes.get() != 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("all requests over in time");
}

/// Another sender is served.
pub(super) async fn others_are_served(server: &Server, authority: &Authority) {
    let mut other = Sender::connect(server, authority).await;
    assert!(other.send(request(1)).await);
    assert_eq!(other.end_of(1).await, answer(200));
}
