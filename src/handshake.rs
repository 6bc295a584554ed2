//! Handshakes of senders' protocols, answered by the proxy.

/// Which protocol's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Slack: a signed POST of type `url_verification` with a challenge to echo.
    Slack,
}

impl Kind {
    /// Every kind with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 1] = [("slack", Self::Slack)];
}
