//! What is signed, with what, and what comes of it.

use crate::fault::Fault;
use crate::json::PayloadFault;
use crate::request::Request;
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What signs.
#[derive(Clone, Debug)]
pub enum SigningKey<'a> {
    /// A secret that both sides know.
    Shared(&'a NamedSecret),
    /// The private key that belongs to the receiver's public key: PKCS #8 as PEM, or for Ed25519 its
    /// 32 bytes. Where a token has to bring its certificates along, they follow in the same PEM text,
    /// the key's own first.
    Private(&'a Secret),
}

/// One delivery to sign.
#[derive(Clone, Debug)]
pub struct SignRequest<'a> {
    /// The event's id, if the scheme reads it from a header; `None` makes a random one.
    pub id: Option<&'a str>,
    /// The event's type, if the scheme reads it from a header; `None` is `example.event`.
    pub event_type: Option<&'a str>,
    /// The path that it is sent to.
    pub path: &'a str,
    /// When it is sent.
    pub at: UnixMillis,
    /// The query that it is sent with, without its `?`.
    pub query: Option<&'a str>,
    /// The body, as it will be sent.
    pub body: &'a [u8],
}

impl SignRequest<'_> {
    /// The head of the request with these headers.
    pub(super) fn head<'h>(&'h self, headers: &'h HeaderMap) -> Request<'h> {
        Request { method: &http::Method::POST, path: self.path, query: self.query, headers }
    }
}

/// A signed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// All headers that the sender would send, except `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body with the signature in it, for schemes whose signature is a member of the body.
    pub body: Option<Vec<u8>>,
}

/// Why a delivery cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The secret is not a key of the scheme.
    #[error("the secret {0}")]
    Key(&'static str),
    /// The scheme signs with a private key, and a shared secret was passed.
    #[error("{0} signs with a private key, which the source does not have")]
    NoPrivateKey(&'static str),
    /// The private key cannot be read, or does not fit the algorithm.
    #[error("the private key is not {0}")]
    PrivateKey(&'static str),
    /// No key pair can be made for the scheme.
    #[error("no key pair is made for it: {0}")]
    KeyPair(&'static str),
    /// The scheme needs something that is missing.
    #[error("the delivery lacks what the scheme signs: {0}")]
    Incomplete(String),
    /// A value cannot be sent in a header.
    #[error("`{0}` is not valid in a header")]
    HeaderValue(String),
    /// The body must be a JSON object or array.
    #[error("{0}")]
    Body(String),
}

impl From<Fault> for SignError {
    fn from(fault: Fault) -> Self {
        Self::Incomplete(fault.to_string())
    }
}

impl From<PayloadFault> for SignError {
    fn from(fault: PayloadFault) -> Self {
        Self::Body(fault.0)
    }
}

/// The headers as names and values.
pub(crate) fn header_lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    lines.collect()
}

/// Sets a header.
pub(crate) fn insert(
    headers: &mut HeaderMap,
    name: &HeaderName,
    value: &str,
) -> Result<(), SignError> {
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| SignError::HeaderValue(value.escape_debug().to_string()))?;
    headers.insert(name.clone(), value);
    Ok(())
}
