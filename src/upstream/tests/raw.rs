//! A destination for tests: real sockets, every byte recorded, and full control over its answers
//! and over how a connection ends.

use crate::config::{UpstreamSettings, UpstreamUrl};
use parking_lot::Mutex;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long a listener stays open without a connection.
const LAST_CALL: Duration = Duration::from_millis(5);

/// A listener on a free port that serves every connection with the given script.
pub(crate) struct RawUpstream {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
    closing: Arc<Notify>,
    accepting: JoinHandle<()>,
}

/// One connection, for the script.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// 0 is the first.
    pub(crate) number: usize,
    unread: Vec<u8>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl RawUpstream {
    pub(crate) async fn serving<F, Fut>(script: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::serving_on("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub(crate) async fn serving_on<F, Fut>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (log, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let closing = Arc::new(Notify::new());
        let told = Arc::clone(&closing);
        let accepting = tokio::spawn(async move {
            let mut last_call = false;
            loop {
                let accepted = tokio::select! {
                    biased;
                    accepted = listener.accept() => accepted,
                    () = told.notified(), if !last_call => {
                        last_call = true;
                        continue;
                    }
                    () = tokio::time::sleep(LAST_CALL), if last_call => return,
                };
                let Ok((stream, _)) = accepted else { return };
                stream.set_nodelay(true).unwrap();
                let connection = Connection {
                    stream,
                    number: count.fetch_add(1, Ordering::SeqCst),
                    unread: Vec::new(),
                    requests: Arc::clone(&log),
                };
                tokio::spawn(script(connection));
            }
        });
        Self { address, requests, connections, closing, accepting }
    }

    /// Answers every request with `answer`.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::serving(move |connection| connection.answer_all(answer)).await
    }

    /// Answers every request with `answer`, one for each time that it is let.
    pub(crate) async fn holding(let_one: Arc<Notify>, answer: &'static str) -> Self {
        Self::serving(move |mut connection| {
            let let_one = Arc::clone(&let_one);
            async move {
                while connection.request().await.is_some() {
                    let_one.notified().await;
                    connection.say(answer).await;
                }
            }
        })
        .await
    }

    /// Whole requests in the order in which they were read to their end.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Takes no more connections once nobody waits for one: a listener that closes resets those
    /// that wait. Those that were taken go on.
    pub(crate) async fn stop_listening(&mut self) {
        self.closing.notify_one();
        (&mut self.accepting).await.unwrap();
    }

    pub(crate) fn settings(&self, name: &str) -> UpstreamSettings {
        settings(name, &[self.address])
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Connection {
    /// Reads one request to its end and records it; `None` when the connection is over.
    pub(crate) async fn request(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = whole_request(&self.unread) {
                break end;
            }
            if self.stream.read_buf(&mut self.unread).await.ok()? == 0 {
                return None;
            }
        };
        let rest = self.unread.split_off(end);
        let request = std::mem::replace(&mut self.unread, rest);
        self.requests.lock().push(request.clone());
        Some(request)
    }

    /// Reads up to the end of the head only, without recording.
    pub(crate) async fn head(&mut self) {
        while head_end(&self.unread).is_none() {
            if self.stream.read_buf(&mut self.unread).await.unwrap() == 0 {
                return;
            }
        }
    }

    /// Whether something of a request is here that was not recorded yet, as the kernel knows it; the
    /// runtime hears of it later.
    pub(crate) fn has_unread(&self) -> bool {
        let mut one = [std::mem::MaybeUninit::uninit()];
        !self.unread.is_empty()
            || socket2::SockRef::from(&self.stream).peek(&mut one).is_ok_and(|length| length > 0)
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        // The other side may have hung up, which some scripts wait for.
        let _ = self.stream.write_all(text.as_ref()).await;
    }

    /// Answers every request that comes.
    pub(crate) async fn answer_all(mut self, answer: &'static str) {
        while self.request().await.is_some() {
            self.say(answer).await;
        }
    }

    /// Ends the connection with RST instead of FIN.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = head_end(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}

/// Settings of an upstream at these addresses with everything optional switched off.
pub(crate) fn settings(name: &str, addresses: &[SocketAddr]) -> UpstreamSettings {
    let urls = addresses.iter().map(|address| UpstreamUrl {
        secure: false,
        host: address.ip().to_string(),
        port: address.port(),
        path: None,
        authority: address.to_string(),
    });
    UpstreamSettings {
        timeout: Duration::from_secs(10),
        ..UpstreamSettings::new(name, urls.collect())
    }
}
