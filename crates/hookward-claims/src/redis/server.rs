//! Which server, and how to reach it.

use crate::StoreError;
use ::redis::io::AsyncDNSResolver;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, RedisFuture, TlsCertificates,
};
use hookward_secret::Secret;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const NAME: &str = "redis";

/// The time limit of one attempt to connect; a call waits no longer than its own time.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The TLS settings of a `rediss://` connection. By default it trusts the system's CAs, shows no
/// client certificate and checks the URL's host.
#[derive(Clone, Debug, Default)]
pub struct RedisTls {
    /// PEM file of the CAs to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The server name to request and verify; `None`: the URL's host.
    pub sni: Option<String>,
}

/// A server, ready to connect to.
pub(super) struct RedisServer {
    pub(super) client: Client,
    pub(super) config: AsyncConnectionConfig,
    /// `host:port`, for messages.
    pub(super) address: String,
}

impl RedisServer {
    /// # Errors
    /// The URL is invalid, or a file cannot be used. The message contains at most the address,
    /// never the URL.
    pub(super) fn of(url: &Secret, tls: Option<&RedisTls>) -> Result<Self, StoreError> {
        // The crypto provider is installed once per process; it may already be installed.
        let _said_before = rustls::crypto::ring::default_provider().install_default();
        let invalid =
            || problem("has no valid URL, as in redis://user:password@host:6379/0".to_owned());
        let url = std::str::from_utf8(url.expose()).map_err(|_| invalid())?;
        let info = url.into_connection_info().map_err(|_| invalid())?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let address = info.addr().to_string();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            // Calls have their own timeouts.
            .set_response_timeout(None);
        let Some(tls) = tls else {
            let client = Client::open(info).map_err(|_| invalid())?;
            return Ok(Self { client, config, address });
        };
        let unusable = |why: String| problem(format!("at {address} cannot be asked by TLS: {why}"));
        let certificates = certificates(tls).map_err(unusable)?;
        let (info, config) = match &tls.sni {
            Some(name) => renamed(info, name, config),
            None => (info, config),
        };
        let client = Client::build_with_tls(info, certificates);
        let client = client.map_err(|cause| unusable(cause.to_string()))?;
        Ok(Self { client, config, address })
    }
}

fn certificates(tls: &RedisTls) -> Result<TlsCertificates, String> {
    let client_tls = match &tls.client {
        Some((cert, key)) => {
            Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
        }
        None => None,
    };
    let root_cert = tls.ca.as_deref().map(read).transpose()?;
    Ok(TlsCertificates { client_tls, root_cert })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The library uses one name both for connecting and for the certificate. So it gets the
/// certificate's name, which is resolved to the host's addresses.
fn renamed(
    info: ConnectionInfo,
    name: &str,
    config: AsyncConnectionConfig,
) -> (ConnectionInfo, AsyncConnectionConfig) {
    match info.addr().clone() {
        ConnectionAddr::TcpTls { host, port, insecure, tls_params } => {
            let host_of_name = HostOf(host);
            let named =
                ConnectionAddr::TcpTls { host: name.to_owned(), port, insecure, tls_params };
            (info.set_addr(named), config.set_dns_resolver(host_of_name))
        }
        _ => (info, config),
    }
}

/// Resolves every name to the addresses of one host.
struct HostOf(String);

impl AsyncDNSResolver for HostOf {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _name: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((self.0.as_str(), port)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

fn problem(problem: String) -> StoreError {
    StoreError { store: NAME, problem }
}
