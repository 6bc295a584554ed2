//! Which server, and how to reach it.

use crate::StoreError;
use hookward_secret::Secret;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) const NAME: &str = "postgres";

/// The TLS settings of an encrypted connection. By default it trusts the system's CAs, shows no
/// client certificate and checks the URL's host.
#[derive(Clone, Debug, Default)]
pub struct PostgresTls {
    /// PEM file of the CAs to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name to ask for and to check; `None`: the URL's host.
    pub sni: Option<String>,
}

/// A connection is broken if its server acknowledges nothing for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// A server, ready to connect to.
pub(super) struct PostgresServer {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    /// `host:port`, for messages; several are separated by commas.
    pub(super) address: String,
}

/// How connections are encrypted.
#[derive(Clone)]
pub(super) enum Encryption {
    None,
    Tls(Tls),
}

/// TLS with a certificate that is always checked.
#[derive(Clone)]
pub(super) struct Tls {
    connect: MakeRustlsConnect,
    /// The server name to request and verify, if it is not the host.
    name: Option<String>,
}

/// What is wrong with a URL, as the rest of a sentence; `None` if nothing is. The text contains no
/// part of the URL.
#[must_use]
pub fn postgres_url_fault(url: &Secret) -> Option<&'static str> {
    parse(url).err()
}

/// Whether a URL turns encryption off.
#[must_use]
pub fn postgres_url_refuses_tls(url: &Secret) -> bool {
    std::str::from_utf8(url.expose()).is_ok_and(|url| url.contains("sslmode=disable"))
}

fn parse(url: &Secret) -> Result<Config, &'static str> {
    let text = std::str::from_utf8(url.expose()).unwrap_or_default();
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("not a PostgreSQL URL");
    }
    // libpq's words for checking the certificate, which always happens here.
    let text = text.replace("sslmode=verify-full", "sslmode=require");
    let text = text.replace("sslmode=verify-ca", "sslmode=require");
    let mut config: Config = text.parse().map_err(|_| "not a PostgreSQL URL")?;
    if config.get_hosts().is_empty() {
        return Err("a PostgreSQL URL without a host");
    }
    if config.get_ssl_mode() == SslMode::Prefer {
        if text.contains("sslmode=") {
            return Err("a PostgreSQL URL with sslmode=prefer, which gives no protection");
        }
        config.ssl_mode(SslMode::Disable);
    }
    Ok(config)
}

impl PostgresServer {
    /// # Errors
    /// The URL is invalid, or a file cannot be used. The message contains at most the address,
    /// never the URL.
    pub(super) fn of(url: &Secret, tls: Option<&PostgresTls>) -> Result<Self, StoreError> {
        // The crypto provider is installed once per process; it may already be installed.
        let _said_before = rustls::crypto::ring::default_provider().install_default();
        let mut config = parse(url).map_err(|_| {
            problem("has no valid URL, as in postgres://user:password@host/hookward".to_owned())
        })?;
        let address = address(&config);
        if config.get_application_name().is_none() {
            config.application_name("hookward");
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_hosts().len() > 1 {
            // With several servers, use the primary.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let encryption =
            if tls.is_some() || config.get_ssl_mode() == SslMode::Require {
                config.ssl_mode(SslMode::Require);
                let tls = tls.cloned().unwrap_or_default();
                Encryption::Tls(Tls::of(&tls).map_err(|why| {
                    problem(format!("at {address} cannot be asked by TLS: {why}"))
                })?)
            } else {
                Encryption::None
            };
        Ok(Self { config, encryption, address })
    }
}

impl Tls {
    fn of(tls: &PostgresTls) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &tls.ca {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            let _those_that_are_none = roots.add_parsable_certificates(found.certs);
        }
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let config = match &tls.client {
            Some((cert, key)) => {
                let shown = PrivateKeyDer::from_pem_file(key);
                let shown = shown.map_err(|error| format!("{}: {error}", key.display()))?;
                let config = builder.with_client_auth_cert(certificates(cert)?, shown);
                config.map_err(|error| format!("{}: {error}", cert.display()))?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self { connect: MakeRustlsConnect::new(config), name: tls.sni.clone() })
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = <MakeRustlsConnect as MakeTlsConnect<S>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<S>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let name = self.name.as_deref().unwrap_or(host);
        MakeTlsConnect::<S>::make_tls_connect(&mut self.connect, name)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |what: String| format!("{}: {what}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() {
        return Err(unusable("contains no certificate".to_owned()));
    }
    Ok(found)
}

fn address(config: &Config) -> String {
    let ports = config.get_ports();
    let named = config.get_hosts().iter().enumerate().map(|(nth, host)| {
        let port = ports.get(nth).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{port}"),
            Host::Tcp(host) => format!("{host}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

fn problem(problem: String) -> StoreError {
    StoreError { store: NAME, problem }
}

/// Common to both kinds of connection: a task that moves the bytes.
pub(super) async fn connect(
    server: &PostgresServer,
) -> Result<(tokio_postgres::Client, Driver), tokio_postgres::Error> {
    match &server.encryption {
        Encryption::None => {
            let (client, connection) = server.config.connect(NoTls).await?;
            Ok((client, Driver::start(connection)))
        }
        Encryption::Tls(tls) => {
            let (client, connection) = server.config.connect(tls.clone()).await?;
            Ok((client, Driver::start(connection)))
        }
    }
}

/// Listens on the channel `hookward` until the connection ends.
pub(super) async fn listen(
    server: &PostgresServer,
    heard: impl Fn(),
) -> Result<(), tokio_postgres::Error> {
    match &server.encryption {
        Encryption::None => {
            let (client, connection) = server.config.connect(NoTls).await?;
            hear(&client, connection, heard).await
        }
        Encryption::Tls(tls) => {
            let (client, connection) = server.config.connect(tls.clone()).await?;
            hear(&client, connection, heard).await
        }
    }
}

async fn hear<S, T>(
    client: &tokio_postgres::Client,
    mut connection: tokio_postgres::Connection<S, T>,
    heard: impl Fn(),
) -> Result<(), tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut asking = std::pin::pin!(client.batch_execute("LISTEN hookward"));
    let mut is_listening = false;
    std::future::poll_fn(|context| {
        loop {
            if !is_listening && let Poll::Ready(answer) = asking.as_mut().poll(context) {
                if let Err(error) = answer {
                    return Poll::Ready(Err(error));
                }
                is_listening = true;
                heard();
            }
            match connection.poll_message(context) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(_)))) => heard(),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// The task that moves a connection's bytes. Dropping it ends the task and the connection.
pub(super) struct Driver(tokio::task::JoinHandle<()>);

impl Driver {
    fn start(
        connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(async move {
            // Callers that wait for an answer are told when it ends.
            let _ended = connection.await;
        }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> Option<&'static str> {
        postgres_url_fault(&Secret::from(url.to_owned()))
    }

    #[test]
    fn a_url_names_a_server_and_never_prefers_encryption() {
        for url in [
            "postgres://hookward@db/hookward",
            "postgresql://hookward:pass@db:5433/hookward?sslmode=require",
            "postgres://hookward@db/hookward?sslmode=verify-full",
            "postgres://hookward@a:5432,b:5433/hookward",
            "postgres://hookward@%2Fvar%2Frun%2Fpostgresql/hookward",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
        for url in ["redis://db", "postgres://", "postgres:///hookward", "hunter2", ""] {
            assert!(fault(url).is_some(), "{url}");
        }
        let prefer = fault("postgres://db/hookward?sslmode=prefer");
        assert!(prefer.is_some_and(|why| why.contains("sslmode=prefer")));
    }

    #[test]
    fn tls_is_what_the_url_or_its_files_ask_for() {
        let files = PostgresTls::default();
        for (url, tls, expected) in [
            ("postgres://u:hunter2@db/d", None, false),
            ("postgres://u:hunter2@db/d?sslmode=disable", None, false),
            ("postgres://u:hunter2@db/d?sslmode=require", None, true),
            ("postgres://u:hunter2@db/d?sslmode=verify-ca", None, true),
            ("postgres://u:hunter2@db/d", Some(&files), true),
        ] {
            let server = PostgresServer::of(&Secret::from(url.to_owned()), tls).expect(url);
            assert_eq!(matches!(server.encryption, Encryption::Tls(_)), expected, "{url}");
            assert_eq!(server.config.get_ssl_mode() == SslMode::Require, expected, "{url}");
            assert_eq!(server.address, "db:5432");
        }
        let several = Secret::from("postgres://u:hunter2@a:1,b:2/d".to_owned());
        let several = PostgresServer::of(&several, None).expect("the URL is one");
        assert_eq!(several.address, "a:1, b:2");
    }
}
