//! A minimal receiver: reads a complete request, answers 200.

use crate::connection::length_of_message;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Serves until the process is ended.
pub fn serve(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.expect("a free port");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(answer(stream));
        }
    });
}

/// Answers on one connection until it ends.
async fn answer(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = Vec::with_capacity(64 * 1024);
    let (mut whole, mut read) = (None, 0);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(more) => read += more,
        }
        if whole.is_none() {
            whole = length_of_message(&buffer, |buffer| {
                let mut fields = [httparse::EMPTY_HEADER; 64];
                let mut head = httparse::Request::new(&mut fields);
                let parsed = head.parse(buffer).expect("HTTP");
                (parsed, declared(head.headers))
            });
        }
        // What is over of a large body is counted and not kept.
        if whole.is_some() {
            buffer.clear();
        }
        if whole == Some(read) {
            (whole, read) = (None, 0);
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

/// The declared length of a body; 0 if there is none.
pub fn declared(fields: &[httparse::Header<'_>]) -> usize {
    fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok())
        .unwrap_or(0)
}
