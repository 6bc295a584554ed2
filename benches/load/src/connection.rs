//! One connection of the generator, and the length of messages.

use crate::upstream::declared;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The length of the message that `buffer` begins with, once its head is whole.
pub fn length_of_message(
    buffer: &[u8],
    parse: impl FnOnce(&[u8]) -> (httparse::Status<usize>, usize),
) -> Option<usize> {
    match parse(buffer) {
        (httparse::Status::Complete(head), body) => Some(head + body),
        (httparse::Status::Partial, _) => None,
    }
}

/// The status of the answer in `buffer` once it is whole.
fn status_of_whole(buffer: &[u8]) -> Option<u16> {
    let mut status = 0;
    let length = length_of_message(buffer, |buffer| {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(buffer).expect("HTTP");
        status = head.code.unwrap_or(0);
        (parsed, declared(head.headers))
    })?;
    (buffer.len() >= length).then_some(status)
}

/// A connection of the closed loop.
pub struct Connection {
    stream: tokio::net::TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = tokio::net::TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer whole; the status.
    pub async fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = status_of_whole(&self.buffer) {
                return Ok(status);
            }
        }
    }
}

/// A connection whose thread waits for it, for times below a millisecond.
pub struct Blocking {
    stream: std::net::TcpStream,
    buffer: Vec<u8>,
}

impl Blocking {
    pub fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = std::net::TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4096] })
    }

    /// As [`Connection::exchange`].
    pub fn exchange(&mut self, request: &[u8]) -> std::io::Result<u16> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(status) = status_of_whole(&self.buffer[..filled]) {
                return Ok(status);
            }
        }
    }
}
