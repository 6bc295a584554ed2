//! TLS on the listener, with a CA made on the spot.

use crate::config::{ListenerTls, ServerSettings};
use crate::operator::server::Edge;
use crate::operator::server::testing::{
    Recorder, Seen, Sender, Server, post, serve, server_settings,
};
use crate::request::RequestHead;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A CA with its certificates in a directory of their own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    directory: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let root = certificate.der().clone();
        Self { issuer: Issuer::new(params, key), root, directory }
    }

    /// Writes `cert.pem` and `key.pem`, over those that are there.
    pub(super) fn issue(&self) -> ListenerTls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        ListenerTls { cert: self.path("cert.pem"), key: self.path("key.pem"), client_ca: None }
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    pub(super) async fn connect(
        &self,
        server: &Server,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        self.connect_with(server, alpn, &[&TLS13, &TLS12], None).await
    }

    async fn connect_with(
        &self,
        server: &Server,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        client: Option<&ListenerTls>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let certificate = CertificateDer::from_pem_file(&files.cert).unwrap();
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(server.address()).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

fn settings(tls: ListenerTls) -> ServerSettings {
    ServerSettings { tls: Some(tls), ..server_settings() }
}

fn served_certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn only_head(server: &Server) -> RequestHead {
    let [Seen::Request { head, .. }] = &server.door.seen()[..] else { panic!("one request") };
    (**head).clone()
}

#[tokio::test]
async fn a_delivery_over_each_version_of_tls_arrives_and_is_known_to_be_secure() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let server = serve(&settings(authority.issue()), Recorder::content());
        let stream = authority.connect_with(&server, &["http/1.1"], &[version], None).await;
        let mut sender = Sender::over(stream.unwrap());
        sender.send(post("/in", "", &vec![b'x'; 200_000])).await;
        assert_eq!(sender.receive().await.status, 200);
        let head = only_head(&server);
        assert!(head.secure);
        assert_eq!(head.client.to_string(), "127.0.0.1");
    }
}

#[tokio::test]
async fn a_refusal_over_tls_is_received_whole() {
    let authority = Authority::new();
    let server = serve(&settings(authority.issue()), Recorder::content());
    let mut sender = Sender::over(authority.connect(&server, &["http/1.1"]).await.unwrap());
    let head = "POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 2000000\r\n\r\n";
    sender.send(format!("{head}{}", "x".repeat(500_000))).await;
    let answer = sender.receive().await;
    assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn plain_http_on_the_tls_listener_gets_nothing() {
    let authority = Authority::new();
    let server = serve(&settings(authority.issue()), Recorder::content());
    let mut sender = server.connect().await;
    sender.send(post("/in", "", b"")).await;
    let mut met = Vec::new();
    drop(tokio::io::AsyncReadExt::read_to_end(&mut sender.stream, &mut met).await);
    assert!(!met.starts_with(b"HTTP"));
    assert!(server.door.seen().is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up_after_the_time_of_a_header() {
    let authority = Authority::new();
    let mut settings = settings(authority.issue());
    settings.limits.header_timeout = Duration::from_millis(100);
    let server = serve(&settings, Recorder::content());
    let mut sender = server.connect().await;
    sender.send([0x16, 0x03]).await;
    assert!(sender.is_closed().await);
}

#[tokio::test]
async fn a_renewed_certificate_is_served_after_a_reload_while_connections_stay_up() {
    let authority = Authority::new();
    let settings = settings(authority.issue());
    let server = serve(&settings, Recorder::content());
    let before = authority.connect(&server, &["http/1.1"]).await.unwrap();
    let first = served_certificate(&before);
    let mut before = Sender::over(before);
    before.send(post("/in", "", b"")).await;
    assert_eq!(before.receive().await.status, 200);

    authority.issue();
    server.edge.take_over(Edge::prepare(&settings).unwrap());
    let after = authority.connect(&server, &["http/1.1"]).await.unwrap();
    assert_ne!(served_certificate(&after), first);
    before.send(post("/in", "", b"")).await;
    assert_eq!(before.receive().await.status, 200);

    // A line lost from the file must not turn TLS off under the senders.
    server.edge.take_over(Edge::prepare(&server_settings()).unwrap());
    assert!(authority.connect(&server, &["http/1.1"]).await.is_ok());
}

#[tokio::test]
async fn a_client_certificate_is_optional_but_must_be_good() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut tls = authority.issue();
    tls.client_ca = Some(authority.path("ca.pem"));
    let server = serve(&settings(tls.clone()), Recorder::content());
    let foreign = stranger.issue();
    for (client, expected) in [(None, true), (Some(&tls), true), (Some(&foreign), false)] {
        let stream = authority.connect_with(&server, &["http/1.1"], &[&TLS12], client).await;
        let met = match stream {
            Err(_) => false,
            Ok(stream) => {
                let mut sender = Sender::over(stream);
                sender.send(post("/in", "", b"")).await;
                sender.receive().await.status == 200
            }
        };
        assert_eq!(met, expected, "{client:?}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_and_leave_what_is_served() {
    let authority = Authority::new();
    let good = authority.issue();
    let server = serve(&settings(good.clone()), Recorder::content());
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(authority.path("other-key.pem"), other_key).unwrap();
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    let file = |name: &str| authority.path(name);
    for (tls, sentence) in [
        (ListenerTls { cert: file("absent.pem"), ..good.clone() }, "absent.pem: cannot be read"),
        (
            ListenerTls { cert: file("empty.pem"), ..good.clone() },
            "empty.pem: contains no certificate",
        ),
        (ListenerTls { key: file("cert.pem"), ..good.clone() }, "cert.pem: cannot be read as PEM"),
        (
            ListenerTls { key: file("other-key.pem"), ..good.clone() },
            "other-key.pem: cannot be used",
        ),
        (
            ListenerTls { client_ca: Some(file("empty.pem")), ..good.clone() },
            "empty.pem: contains no",
        ),
    ] {
        let fault = Edge::prepare(&settings(tls)).unwrap_err();
        let name = Path::new(&fault.file).file_name().unwrap().to_str().unwrap();
        let met = format!("{name}: {}", fault.problem);
        assert!(met.starts_with(sentence), "{met}");
    }
    assert!(authority.connect(&server, &["http/1.1"]).await.is_ok());
}
