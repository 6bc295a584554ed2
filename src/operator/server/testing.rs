//! A server in the test's own process, with a door that records requests and answers as configured.

use super::{Behind, Bound, Edge, Running, start};
use crate::config::{AdminSettings, AdminToken, ServerSettings};
use crate::delivery::answer::{Answer, Success};
use crate::delivery::captures::Capture;
use crate::delivery::journal::RecentDeliveries;
use crate::edge::Door;
use crate::operator::admin::{AdminBackend, Caller, Forgotten, Reloaded};
use crate::outcome::{Reason, Refusal};
use crate::request::{BodyError, BodySource, RequestHead};
use crate::telemetry::metrics::Metrics;
use async_trait::async_trait;
use bytes::Bytes;
use hookward_time::SystemClock;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The defaults of the contract, on free ports.
pub(crate) fn server_settings() -> ServerSettings {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    ServerSettings { listen, ..ServerSettings::default() }
}

/// No token, on a free port.
pub(crate) fn admin_settings() -> AdminSettings {
    AdminSettings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), tokens: Vec::new() }
}

/// The requests that reached the door.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Request { head: Box<RequestHead>, body: Result<Bytes, BodyError> },
    Refused(Refusal),
}

type Script = dyn Fn(&RequestHead) -> Answer + Send + Sync;

/// A door that records. It reads every body unless told not to.
pub(crate) struct Recorder {
    seen: Mutex<Vec<Seen>>,
    reads_body: bool,
    script: Box<Script>,
    /// Locked while answering, so that a test with the write lock keeps requests under way.
    pub(crate) gate: tokio::sync::RwLock<()>,
}

impl Recorder {
    pub(crate) fn new(reads_body: bool, script: Box<Script>) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            reads_body,
            script,
            gate: tokio::sync::RwLock::default(),
        })
    }

    /// Reads bodies and answers 200.
    pub(crate) fn content() -> Arc<Self> {
        Self::new(true, Box::new(|_| Answer::empty(Success::Delivered, 200)))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The requests that arrived, each as path and body; a body that could not be read is an error.
    pub(crate) fn requests(&self) -> Vec<(String, Result<Bytes, BodyError>)> {
        let requests = self.seen().into_iter().filter_map(|seen| match seen {
            Seen::Request { head, body } => Some((head.path, body)),
            Seen::Refused(_) => None,
        });
        requests.collect()
    }

    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let refusals = self.seen().into_iter().filter_map(|seen| match seen {
            Seen::Refused(refusal) => Some(refusal),
            Seen::Request { .. } => None,
        });
        refusals.collect()
    }
}

#[async_trait]
impl Door for Recorder {
    async fn deliver(&self, head: RequestHead, body: &mut dyn BodySource) -> Answer {
        let mut hashed = Vec::new();
        let read = if self.reads_body {
            body.read(&mut |piece| hashed.extend_from_slice(piece)).await
        } else {
            Ok(crate::request::Body::default())
        };
        let body = read.map(|body| body.bytes);
        if let Ok(bytes) = &body {
            assert!(*bytes == hashed, "what was shown piece by piece is what was read");
        }
        let answer = match body {
            Ok(_) => (self.script)(&head),
            Err(BodyError::TooLarge) => Answer::refused(Reason::BodyTooLarge.into()),
            Err(BodyError::TimedOut) => Answer::refused(Reason::BodyTimeout.into()),
            Err(BodyError::NoMemory | BodyError::NoShare) => {
                Answer::refused(Reason::Overloaded.into())
            }
            Err(BodyError::Broken) => Answer::refused(Reason::BadRequest.into()),
        };
        self.seen.lock().push(Seen::Request { head: Box::new(head), body });
        drop(self.gate.read().await);
        answer
    }

    fn refuse(&self, refusal: Refusal, _client: IpAddr) -> Answer {
        self.seen.lock().push(Seen::Refused(refusal.clone()));
        Answer::refused(refusal)
    }
}

/// A backend that is ready and knows one event, `a/b` of `shop`.
pub(crate) struct Backend {
    tokens: Arc<Vec<AdminToken>>,
}

#[async_trait]
impl AdminBackend for Backend {
    async fn ready(&self) -> Result<Option<String>, String> {
        Ok(None)
    }

    async fn status(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::from_iter([("config_hash".to_owned(), json!("0123"))])
    }

    async fn inspect(&self, source: &str, event_id: &str) -> Result<Option<Value>, String> {
        Ok((source == "shop" && event_id == "a/b").then(|| json!({ "erp": "delivered" })))
    }

    async fn forget(&self, source: &str, event_id: &str, _: &Caller) -> Result<Forgotten, String> {
        let known = source == "shop" && event_id == "a/b";
        Ok(if known { Forgotten::Done } else { Forgotten::Unknown })
    }

    fn tokens(&self) -> Arc<Vec<AdminToken>> {
        Arc::clone(&self.tokens)
    }

    fn journal(&self) -> Arc<RecentDeliveries> {
        Arc::default()
    }

    fn captures(&self, _: &str) -> Option<Vec<Arc<Capture>>> {
        None
    }

    async fn before_scrape(&self) {}

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        Err(vec!["server.listen: not an address".to_owned()])
    }
}

/// A running server, with everything that a test checks.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) edge: Arc<Edge>,
    pub(crate) door: Arc<Recorder>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Starts a server with these settings.
pub(crate) fn serve(settings: &ServerSettings, door: Arc<Recorder>) -> Server {
    serve_with_admin(settings, &admin_settings(), door)
}

pub(crate) fn serve_with_admin(
    settings: &ServerSettings,
    admin: &AdminSettings,
    door: Arc<Recorder>,
) -> Server {
    let metrics = Arc::new(Metrics::new().unwrap());
    let edge = Edge::new(settings, &metrics).unwrap();
    let behind = Behind {
        door: Arc::clone(&door) as Arc<dyn Door>,
        admin: Arc::new(Backend { tokens: Arc::new(admin.tokens.clone()) }),
        metrics: Arc::clone(&metrics),
        clock: Arc::new(SystemClock::new()),
    };
    let bound = Bound::bind(settings, admin).unwrap();
    let running = start(bound, Arc::clone(&edge), behind);
    Server { running, edge, door, metrics }
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    pub(crate) async fn connect(&self) -> Sender {
        Sender::connect(self.address()).await
    }
}

/// A sender that writes given bytes.
pub(crate) struct Sender<S = TcpStream> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

/// A parsed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `reason` of the problem document, or empty.
    pub(crate) fn reason(&self) -> String {
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|problem| problem["reason"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

impl Sender {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer, a 1xx included.
    pub(crate) async fn receive(&mut self) -> Received {
        let wait = Duration::from_secs(20);
        tokio::time::timeout(wait, self.read_answer()).await.expect("an answer in time")
    }

    async fn read_answer(&mut self) -> Received {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
                return self.read_body(&head).await;
            }
            assert_ne!(
                self.fill().await,
                0,
                "no answer: {:?}",
                self.unread.escape_ascii().to_string()
            );
        }
    }

    async fn read_body(&mut self, head: &str) -> Received {
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut received = Received { status, headers, body: Vec::new() };
        if let Some(length) = received.header("content-length") {
            let length = length.parse().unwrap();
            while self.unread.len() < length {
                assert_ne!(self.fill().await, 0, "the body ends early");
            }
            received.body = self.unread.drain(..length).collect();
        } else if received.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = loop {
                    match find(&self.unread, b"\r\n") {
                        Some(end) => break end,
                        None => assert_ne!(self.fill().await, 0, "the chunks end early"),
                    }
                };
                let size = String::from_utf8(self.unread[..line].to_vec()).unwrap();
                let size = usize::from_str_radix(&size, 16).unwrap();
                while self.unread.len() < line + 2 + size + 2 {
                    assert_ne!(self.fill().await, 0, "a chunk ends early");
                }
                let chunk: Vec<u8> = self.unread.drain(..line + 2 + size + 2).collect();
                received.body.extend_from_slice(&chunk[line + 2..line + 2 + size]);
                if size == 0 {
                    break;
                }
            }
        }
        received
    }

    /// Whether the other side has closed, with nothing more to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let wait = Duration::from_secs(10);
        let read = tokio::time::timeout(wait, self.fill()).await.expect("the end in time");
        read == 0 && self.unread.is_empty()
    }

    async fn fill(&mut self) -> usize {
        match self.stream.read_buf(&mut self.unread).await {
            Ok(read) => read,
            // TLS that ends without a close notification.
            Err(fault) if fault.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(fault) => panic!("{fault}"),
        }
    }
}

/// A request with these header lines, each with its line end, and this body under `Content-Length`.
pub(crate) fn post(path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\n{lines}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
