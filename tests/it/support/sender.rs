//! A sender with its own signing code, so that a bug in the proxy's code cannot hide in the test.

use super::http::{Connection, Response};
use super::proxy::{Proxy, SHOP_SECRET};
use super::rfc3339_in;
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Barrier;

/// The lower-case hex HMAC-SHA256 of `text`.
pub fn hmac_sha256_hex(secret: &str, text: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// An event of a shop.
#[derive(Clone, Debug)]
pub struct Event {
    id: String,
    kind: String,
    created_at: String,
    extra: String,
}

impl Event {
    /// An event that happened now.
    pub fn new(id: &str, kind: &str) -> Self {
        Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            created_at: rfc3339_in(0),
            extra: String::new(),
        }
    }

    /// `order.created`, now.
    pub fn order(id: &str) -> Self {
        Self::new(id, "order.created")
    }

    /// The same event, `seconds` from now.
    pub fn at(mut self, seconds: i64) -> Self {
        self.created_at = rfc3339_in(seconds);
        self
    }

    /// The same event with a body of exactly this many bytes.
    pub fn padded_to(mut self, bytes: usize) -> Self {
        self.extra = String::new();
        let missing = bytes.checked_sub(self.body().len()).expect("room for the envelope");
        self.extra = "x".repeat(missing);
        self
    }

    /// The envelope as `OpenTiendas` sends it.
    pub fn body(&self) -> Vec<u8> {
        let (id, kind, at, extra) = (&self.id, &self.kind, &self.created_at, &self.extra);
        format!(r#"{{"event_id":"{id}","type":"{kind}","created_at":"{at}","data":"{extra}"}}"#)
            .into_bytes()
    }

    /// Signed as `OpenTiendas` signs.
    pub fn signed(&self) -> Delivery {
        let body = self.body();
        let signature = format!("sha256={}", hmac_sha256_hex(SHOP_SECRET, &body));
        Delivery::post("/webhooks/shop", body).with("X-Signature", &signature)
    }
}

/// A request, ready to be sent; anything in it can be tampered with.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let json = ("Content-Type".to_owned(), "application/json".to_owned());
        Self {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: vec![json],
            body: body.into(),
        }
    }

    /// One more header line.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces the header of this name.
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// With another body under the same signature.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// As it is written to the wire, framed by `Content-Length`.
    pub fn bytes(&self, host: SocketAddr) -> Vec<u8> {
        let mut bytes = self.head(host, &format!("Content-Length: {}\r\n", self.body.len()));
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The same, framed in chunks of `size` bytes.
    pub fn chunked(&self, host: SocketAddr, size: usize) -> Vec<u8> {
        let mut bytes = self.head(host, "Transfer-Encoding: chunked\r\n");
        for chunk in self.body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    /// Request line and header lines; `framing` is put last.
    pub fn head(&self, host: SocketAddr, framing: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str(framing);
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Whoever delivers to a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    to: SocketAddr,
}

impl Sender {
    pub fn to(proxy: &Proxy) -> Self {
        Self { to: proxy.address }
    }

    /// Delivers on a connection of its own.
    #[track_caller]
    pub fn deliver(&self, delivery: &Delivery) -> Response {
        Connection::open(self.to).send(delivery.bytes(self.to)).response()
    }

    /// Delivers on a connection of its own and hangs up before the answer.
    #[track_caller]
    pub fn deliver_and_leave(&self, delivery: &Delivery) {
        Connection::open(self.to).send(delivery.bytes(self.to));
    }

    /// Delivers from another thread.
    pub fn start(&self, delivery: &Delivery) -> std::thread::JoinHandle<Response> {
        let (sender, delivery) = (*self, delivery.clone());
        std::thread::spawn(move || sender.deliver(&delivery))
    }

    /// Delivers all of these at the same time, each on a connection that is open already.
    #[track_caller]
    pub fn deliver_at_once(&self, deliveries: &[Delivery]) -> Vec<Response> {
        let start = Barrier::new(deliveries.len());
        std::thread::scope(|scope| {
            let threads: Vec<_> = deliveries
                .iter()
                .map(|delivery| {
                    let start = &start;
                    scope.spawn(move || {
                        let mut connection = Connection::open(self.to);
                        start.wait();
                        connection.send(delivery.bytes(self.to)).response()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}
