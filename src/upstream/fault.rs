//! Why an upstream cannot be served.

/// Why an upstream cannot be served as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstreams.{upstream}.{key}: {detail}")]
pub struct UpstreamFault {
    /// Its name.
    pub upstream: String,
    /// The key in its table, as `tls.ca`.
    pub key: &'static str,
    /// What is wrong.
    pub detail: String,
}
