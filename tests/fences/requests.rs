//! Requests that are prepared before counting, and connections that allocate nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// Of the source `shop`.
pub const SECRET: &str = "a-secret-of-the-shop-for-fences";

/// Fresh events, each other than all before.
pub fn fresh(count: usize) -> Vec<Vec<u8>> {
    fresh_to("/shop", count)
}

/// The same for the source at this path.
pub fn fresh_to(path: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| signed(path, &body())).collect()
}

/// One event, again and again.
pub fn repeated(count: usize) -> Vec<Vec<u8>> {
    vec![signed("/shop", &body()); count]
}

/// Events signed by another party.
pub fn forged(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| request("/shop", &body(), &"0".repeat(64))).collect()
}

/// 1 KiB of an event.
fn body() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let start = format!(
        "{{\"event_id\":\"{number:08}\",\"type\":\"order.paid\",\"created_at\":\"{at}\",\"data\":\""
    );
    let filler = "x".repeat(1024 - start.len() - 2);
    format!("{start}{filler}\"}}")
}

fn signed(path: &str, body: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    request(path, body, &data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

fn request(path: &str, body: &str, signature: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: Webhooks/1.0\r\n\
         Accept: */*\r\nContent-Type: application/json\r\nX-Signature: sha256={signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A sender's connection.
pub struct Sender(TcpStream);

impl Sender {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends them one after the other; each has to be answered with `status`.
    #[track_caller]
    pub fn send(&mut self, requests: &[Vec<u8>], status: &[u8]) {
        let mut buffer = [0; 4096];
        for request in requests {
            self.0.write_all(request).unwrap();
            let answer = read_message(&mut self.0, &mut buffer).expect("an answer");
            let start = buffer[..answer].strip_prefix(b"HTTP/1.1 ").unwrap_or_default();
            assert!(start.starts_with(status), "{}", start.escape_ascii());
        }
    }
}

/// Reads one message with a length; how long it was. `None` at the end of the connection. What does
/// not fit in the buffer has no head that ends.
fn read_message(stream: &mut TcpStream, buffer: &mut [u8; 4096]) -> Option<usize> {
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return None,
            Ok(read) => filled += read,
        }
        let read = &buffer[..filled];
        let Some(head) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        if filled >= head + 4 + declared(&read[..head]) {
            return Some(filled);
        }
    }
}

/// The length that a head declares.
fn declared(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line =
        lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    let digits = line.map_or(&b""[..], |line| line[NAME.len()..].trim_ascii());
    digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// A receiver that accepts everything.
pub fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut buffer = [0; 4096];
                while read_message(&mut stream, &mut buffer).is_some() {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
