//! A sender's site, which publishes keys over TLS.

use super::eventually;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What the site answers at one path.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long it takes before it says anything.
    pub delay: Duration,
}

impl Page {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), delay: Duration::ZERO }
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// A site at `https://localhost:PORT`, whose certificate an authority of its own has signed.
pub struct KeyServer {
    port: u16,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    asked: Arc<Mutex<Vec<String>>>,
    files: TempDir,
}

impl KeyServer {
    pub fn start() -> Self {
        let key = || KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "An authority for tests");
        let authority_key = key();
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let own_key = key();
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), root.pem()).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], private)
            .unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages: Arc<Mutex<HashMap<String, Page>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        std::thread::spawn({
            let (pages, asked) = (Arc::clone(&pages), Arc::clone(&asked));
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (pages, asked) = (Arc::clone(&pages), Arc::clone(&asked));
                    let connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
                    std::thread::spawn(move || answer(stream, connection, &pages, &asked));
                }
            }
        });
        Self { port, pages, asked, files }
    }

    /// What it answers at `path` from now on.
    pub fn publish(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// As `key_hosts` names it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The `[fetch]` table that trusts it.
    pub fn fetch(&self) -> String {
        format!("[fetch]\nca = \"{}\"", self.files.path().join("ca.pem").display())
    }

    /// How often this path, query included, was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// Everything that was asked for.
    pub fn all_asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_until_asked(&self, path: &str) {
        eventually("the keys are asked for", || self.asked(path) > 0);
    }
}

fn is_whole(request: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(request).unwrap() else { return false };
    let declared = head.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
    let body = declared
        .map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse::<usize>().unwrap());
    request.len() >= length + body
}

fn answer(
    stream: TcpStream,
    connection: ServerConnection,
    pages: &Mutex<HashMap<String, Page>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut stream = StreamOwned::new(connection, stream);
    // Whole, with its body: the kernel resets a connection that is closed with bytes unread, and the
    // answer may be lost by that.
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = pages.lock().unwrap().get(&path).cloned();
    asked.lock().unwrap().push(path);
    let page = found.unwrap_or_else(|| Page::of("").with_status(404));
    std::thread::sleep(page.delay);
    let mut text = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        page.status,
        page.body.len()
    );
    for (name, value) in &page.headers {
        _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    _ = stream.write_all(text.as_bytes());
    _ = stream.write_all(&page.body);
    _ = stream.flush();
    stream.conn.send_close_notify();
    _ = stream.flush();
}
