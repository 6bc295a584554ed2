//! The certificate that an upstream must show, if one is pinned.

/// The error for an upstream that shows another certificate than the pinned one.
pub(super) const OTHER_CERTIFICATE: &str = "invalid peer certificate: not the one in tls.ca";
