//! `https://` upstreams, with CAs made on the spot.

use super::raw::RawUpstream;
use super::{Bench, OK, pattern};
use crate::config::{UpstreamSettings, UpstreamTls};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Forwarded, Upstreams};
use hookward_time::SystemClock;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A TLS listener in front of `plain`, and the names that it was asked for.
    async fn listen(
        &self,
        name: &str,
        plain: SocketAddr,
        clients_of: Option<&Self>,
    ) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.as_ref().der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.certify(name);
        Self::serve(builder, &certificate, &key, plain).await
    }

    /// A TLS listener with this certificate in front of `plain`.
    async fn serve(
        builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
        certificate: &rcgen::Certificate,
        key: &KeyPair,
        plain: SocketAddr,
    ) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&names);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(stream).await else { return };
                    asked.lock().extend(tls.get_ref().1.server_name().map(str::to_owned));
                    let mut plain = TcpStream::connect(plain).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        (address, names)
    }
}

fn https(address: SocketAddr, tls: UpstreamTls) -> UpstreamSettings {
    let mut settings = super::raw::settings("erp", &[address]);
    settings.urls[0].secure = true;
    settings.tls = Some(tls);
    settings
}

fn file(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn an_upstream_with_a_ca_of_its_own_gets_the_bytes_and_others_get_none() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let raw = RawUpstream::answering(OK).await;
    let (address, asked_for) = ours.listen("erp.internal", raw.address, None).await;
    let ca = Some(file(directory.path(), "ca.pem", ours.pem()));
    let named = |name: &str| UpstreamTls { sni: Some(name.into()), ca: ca.clone(), client: None };

    let bench = Bench::of(&[https(address, named("erp.internal"))]);
    for size in [0, 65_537, 1_048_576] {
        assert_eq!(bench.answer(pattern(size)).await.status, 200);
        assert!(raw.requests().pop().unwrap().ends_with(&pattern(size)));
    }
    assert_eq!(*asked_for.lock(), ["erp.internal"], "one handshake served all");

    let wrong_ca = Some(file(directory.path(), "other.pem", other.pem()));
    for tls in [
        // The certificate is for another name, for the address it is not for at all.
        named("crm.internal"),
        UpstreamTls { sni: None, ..named("") },
        UpstreamTls { ca: wrong_ca, ..named("erp.internal") },
        UpstreamTls { ca: None, ..named("erp.internal") },
    ] {
        let forwarded = Bench::of(&[https(address, tls.clone())]).send("{}").await;
        let Forwarded::Unreachable { detail, .. } = forwarded else {
            panic!("{tls:?}: {forwarded:?}");
        };
        assert!(detail.contains("invalid peer certificate"), "{detail}");
    }
    assert_eq!(raw.requests().len(), 3);
}

/// As `openssl req -x509` makes them: an authority by its own word, and the server's certificate.
fn self_signed(name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), key)
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_where_it_is_the_configured_one() {
    let directory = tempfile::tempdir().unwrap();
    let raw = RawUpstream::answering(OK).await;
    let (ours, key) = self_signed("localhost");
    let (double, _) = self_signed("localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let (address, _) = Authority::serve(builder, &ours, &key, raw.address).await;
    let ours = file(directory.path(), "ours.pem", ours.pem());
    let double = file(directory.path(), "double.pem", double.pem());
    let tls = |ca: &PathBuf, name: &str| UpstreamTls {
        sni: Some(name.to_owned()),
        ca: Some(ca.clone()),
        client: None,
    };
    let bench = Bench::of(&[https(address, tls(&ours, "localhost"))]);
    for _ in 0..2 {
        assert_eq!(bench.answer("{}").await.status, 200);
    }
    // Another one of the same name, and the right one under another name.
    for tls in [tls(&double, "localhost"), tls(&ours, "erp.internal")] {
        let forwarded = Bench::of(&[https(address, tls.clone())]).send("{}").await;
        let Forwarded::Unreachable { detail, .. } = forwarded else {
            panic!("{tls:?}: {forwarded:?}");
        };
        assert!(detail.contains("invalid peer certificate"), "{detail}");
    }
    assert_eq!(raw.requests().len(), 2);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let raw = RawUpstream::answering(OK).await;
    let (address, _) = servers.listen("127.0.0.1", raw.address, Some(&clients)).await;
    let (certificate, key) = clients.certify("hookward");
    let ca = Some(file(directory.path(), "ca.pem", servers.pem()));
    let cert = file(directory.path(), "client.pem", certificate.pem());
    let key = file(directory.path(), "client.key", key.serialize_pem());

    let with = UpstreamTls { ca: ca.clone(), client: Some((cert, key)), sni: None };
    let bench = Bench::of(&[https(address, with)]);
    assert_eq!(bench.answer("{}").await.status, 200, "the address is a name like another");

    let without = UpstreamTls { ca, client: None, sni: None };
    let forwarded = Bench::of(&[https(address, without)]).send("{}").await;
    assert!(!matches!(forwarded, Forwarded::Answered(_)), "{forwarded:?}");
    assert_eq!(raw.requests().len(), 1);
}

#[tokio::test]
async fn a_renewed_ca_file_counts_after_a_reload_for_pooled_connections_too() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let raw = RawUpstream::answering(OK).await;
    let (address, _) = ours.listen("127.0.0.1", raw.address, None).await;
    let ca = file(directory.path(), "ca.pem", ours.pem());
    let settings = [https(address, UpstreamTls { ca: Some(ca), client: None, sni: None })];
    let mut bench = Bench::of(&settings);
    assert_eq!(bench.answer("{}").await.status, 200);

    file(directory.path(), "ca.pem", other.pem());
    assert_eq!(bench.answer("{}").await.status, 200, "nothing changes without a reload");
    bench.upstreams = bench.upstreams.reconfigured(&settings, &bench.metrics).unwrap();
    assert!(matches!(bench.send("{}").await, Forwarded::Unreachable { .. }));

    file(directory.path(), "ca.pem", ours.pem());
    bench.upstreams = bench.upstreams.reconfigured(&settings, &bench.metrics).unwrap();
    assert_eq!(bench.answer("{}").await.status, 200);
    assert_eq!(raw.requests().len(), 3);
}

#[tokio::test]
async fn files_that_cannot_serve_are_told_when_they_are_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let (certificate, key) = authority.certify("a");
    let path = |name: &str, text: &str| file(directory.path(), name, text);
    let good = path("good.pem", &certificate.pem());
    let good_key = path("good.key", &key.serialize_pem());
    let other_key = path("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let empty = path("empty.pem", "");
    let cut = path("cut.pem", &certificate.pem()[..200]);
    let noise = path("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = directory.path().join("missing.pem");
    let ca = |path: &PathBuf| UpstreamTls { ca: Some(path.clone()), ..UpstreamTls::default() };
    let client = |cert: &PathBuf, key: &PathBuf| UpstreamTls {
        client: Some((cert.clone(), key.clone())),
        ..UpstreamTls::default()
    };
    for (tls, key, part) in [
        (ca(&missing), "tls.ca", "missing.pem"),
        (ca(&empty), "tls.ca", "no certificate"),
        (ca(&good_key), "tls.ca", "no certificate"),
        (ca(&cut), "tls.ca", "cut.pem"),
        (ca(&noise), "tls.ca", "noise.pem"),
        (client(&empty, &good_key), "tls.cert", "no certificate"),
        (client(&noise, &good_key), "tls.key", "does not fit"),
        (client(&good, &good), "tls.key", "no private key"),
        (client(&good, &missing), "tls.key", "missing.pem"),
        (client(&good, &other_key), "tls.key", "does not fit"),
        (UpstreamTls { sni: Some("a b".into()), ..ca(&good) }, "tls.sni", "a b"),
        (UpstreamTls { sni: Some(String::new()), ..ca(&good) }, "tls.sni", "not a name"),
    ] {
        let settings = [https("127.0.0.1:1".parse().unwrap(), tls.clone())];
        let faults = Upstreams::check(&settings);
        assert_eq!(faults.len(), 1, "{tls:?}");
        assert_eq!((&*faults[0].upstream, faults[0].key), ("erp", key), "{tls:?}: {}", faults[0]);
        assert!(faults[0].detail.contains(part), "{tls:?}: {}", faults[0]);
        let metrics = Metrics::new().unwrap();
        let made = Upstreams::new(&settings, &metrics, Arc::new(SystemClock::new()));
        assert_eq!(made.unwrap_err(), faults);
    }
    let good = [https("127.0.0.1:1".parse().unwrap(), client(&good, &good_key))];
    assert_eq!(Upstreams::check(&good), []);
}
