//! The certificate that an upstream has to show, where one is pinned.

/// What is said of an upstream that shows another certificate than the pinned one.
pub(super) const OTHER_CERTIFICATE: &str = "invalid peer certificate: not the one in tls.ca";
