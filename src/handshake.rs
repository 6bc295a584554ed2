//! Handshakes of senders' protocols, answered by the proxy.

/// Which protocol's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Slack: a signed POST of type `url_verification` with a challenge to echo.
    Slack,
}
