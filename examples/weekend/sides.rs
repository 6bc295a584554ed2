//! The proxy, its receivers and its senders.

use crate::SECRET;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_time::{Clock as _, SystemClock};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) directory: tempfile::TempDir,
}

impl Proxy {
    pub(crate) fn start(binary: &str, live: SocketAddr, erp: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("weekend.toml");
        let source = |name: &str, to: &str, keys: &str| {
            format!(
                "[sources.{name}]\npath = \"/{name}\"\npreset = \"opentiendas\"\n\
                 secrets = [{{ env = \"SHOP\" }}]\n\
                 [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"{to}\"]\n{keys}\n"
            )
        };
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nlevel = \"warn,hookward::operator=info\"\n[dedupe]\nstore = \"disk\"\npath = {:?}\n\
             [inbox]\nmin_free = \"1B\"\n\
             [upstreams.live]\nurl = \"http://{live}\"\n[upstreams.erp]\nurl = \"http://{erp}\"\n\
             retry = {{ first = \"100ms\", longest = \"1s\" }}\n{}{}{}",
            directory.path().join("data").display().to_string(),
            source("live", "live", ""),
            source("spill", "live", "delivery = \"spill\""),
            source("weekend", "erp", "delivery = \"spill\"\norder_key = \"json:/order\""),
        );
        std::fs::write(&file, text).expect("a file");
        let mut child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&file)
            .env("SHOP", SECRET)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let address = loop {
            let told = lines.next().expect("it listens").expect("text");
            if let Some((_, address)) = told.split_once("listening on http://") {
                break address.trim().parse().expect("an address");
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, directory }
    }

    /// The time that its threads have been running, in user code and in the kernel.
    pub(crate) fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = threads.expect("Linux").map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split(' ').next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or_default()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// MiB that it has in memory.
    pub(crate) fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.expect("Linux");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") / 1024
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

pub(crate) async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

/// Accepts everything, and notes order and step of each event.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) count: AtomicU64,
    pub(crate) seen: Mutex<Vec<(u64, u64)>>,
}

impl Receiver {
    pub(crate) async fn start(address: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind(address).await.expect("the port");
        let receiver = Arc::new(Self { address, count: AtomicU64::new(0), seen: Mutex::default() });
        let serving = Arc::clone(&receiver);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        receiver
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut seen = Vec::with_capacity(8192);
        while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
            // Every body here ends so, and requests come one at a time.
            if !seen.ends_with(b"\"}") {
                continue;
            }
            let text = String::from_utf8_lossy(&seen).into_owned();
            let number = |name: &str| {
                let (_, rest) = text.split_once(name).expect("it is there");
                let end = rest.find(',').expect("more follows");
                rest[..end].parse().expect("a number")
            };
            let event = (number("\"order\":"), number("\"step\":"));
            self.seen.lock().expect("nobody panics").push(event);
            self.count.fetch_add(1, Ordering::Relaxed);
            seen.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn event(number: u64, order: u64, step: u64) -> String {
    let at = SystemClock::new().wall().to_rfc3339();
    let data = "x".repeat(1000);
    format!(
        "{{\"event_id\":\"{number}\",\"type\":\"order.paid\",\"created_at\":\"{at}\",\
         \"order\":{order},\"step\":{step},\"data\":\"{data}\"}}"
    )
}

pub(crate) fn request(path: &str, body: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key is one");
    mac.update(body.as_bytes());
    let signature = HEXLOWER.encode(&mac.finalize().into_bytes());
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: weekend\r\nContent-Type: application/json\r\n\
         X-Signature: sha256={signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a request and reads its answer whole; the status.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> u16 {
        self.stream.write_all(bytes).await.expect("it takes bytes");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert_ne!(read, 0, "the connection stays");
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Response::new(&mut fields);
            let parsed = head.parse(&self.buffer).expect("HTTP");
            if let httparse::Status::Complete(length) = parsed {
                let field = |name: &str| {
                    head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))
                };
                let declared = field("content-length")
                    .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())
                    .expect("a length");
                if self.buffer.len() >= length + declared {
                    return head.code.expect("a status");
                }
            }
        }
    }
}
