//! What the measuring tools share: the proxy as a process, and a sender's side of a connection.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &str = "a-secret-of-the-tools-for-measuring";

/// A running proxy; it ends with this.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Starts `binary` with a configuration, which is written to `directory`. The secret is in `SHOP`.
    pub(crate) fn start(binary: &str, directory: &Path, config: &str) -> Self {
        let file = directory.join("hookward.toml");
        std::fs::write(&file, config).expect("a file");
        let mut child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&file)
            .env("SHOP", SECRET)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let address = loop {
            let line = lines.next().expect("it listens").expect("text");
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().parse().expect("an address");
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The time that its threads have been running, in user code and in the kernel.
    pub(crate) fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id()));
        let nanos = threads.expect("Linux").map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split(' ').next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or_default()
        });
        Duration::from_nanos(nanos.sum())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The signature of a body.
pub(crate) fn signature(body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key is one");
    mac.update(body.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// A delivery of `body`.
pub(crate) fn request(path: &str, body: &str, signature: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: measuring\r\nContent-Type: application/json\r\n\
         X-Signature: sha256={signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A connection that stays open.
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
