//! A URL of an upstream.

use hookward_settings::value::{Form, FormFault, plain_url};

/// A parsed URL of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// `https`.
    pub secure: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port, or the scheme's default.
    pub port: u16,
    /// The path, if it has one other than `/`.
    pub path: Option<String>,
    /// The value of the `Host` header: host, and the port unless it is the scheme's default.
    pub authority: String,
}

impl Form for UpstreamUrl {
    const NAME: &'static str = "a URL";
    const ALLOWED: &'static str = "http:// or https:// with a host, optionally a port and a path, such as \
         \"http://127.0.0.1:9001\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let url = plain_url(text)?;
        let secure = url.scheme() == "https";
        let authority_host = url.host_str().unwrap_or_default();
        let host = authority_host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = match url.port() {
            Some(port) => format!("{authority_host}:{port}"),
            None => authority_host.to_owned(),
        };
        let port = url.port().unwrap_or(if secure { 443 } else { 80 });
        if port == 0 {
            return Err("port 0 cannot be connected to".into());
        }
        let path = Some(url.path()).filter(|&path| path != "/").map(ToOwned::to_owned);
        Ok(Self { secure, host, port, path, authority })
    }
}
