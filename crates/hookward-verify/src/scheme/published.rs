//! The configuration of keys that senders publish: tokens, certificates that requests name, and
//! claims that restrict whose events are accepted.

use super::place::Place;
use super::pointer::Pointer;
use crate::certificates::PinnedRoot;
use crate::keys::Method;
use std::sync::{Arc, LazyLock};

/// A signature algorithm of a JSON Web Token; `none` is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// RSA, PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA, PSS with SHA-256.
    Ps256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256; the secrets are shared.
    Hs256,
}

impl JwtAlgorithm {
    /// Every algorithm with its name in tokens and in the configuration.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("RS256", Self::Rs256),
        ("PS256", Self::Ps256),
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
        ("HS256", Self::Hs256),
    ];

    /// How a public key checks it; `None` for an algorithm with a shared secret.
    #[must_use]
    pub const fn method(self) -> Option<Method> {
        match self {
            Self::Rs256 => Some(Method::RsaSha256),
            Self::Ps256 => Some(Method::PssSha256),
            Self::Es256 => Some(Method::EcdsaP256),
            Self::EdDsa => Some(Method::Ed25519),
            Self::Hs256 => None,
        }
    }
}

/// The conditions for accepting a token.
#[derive(Clone, Debug, Default)]
pub struct TokenRule {
    /// The allowed values of its `alg`. HS256 must be the only one, because a public key must never
    /// serve as a shared secret.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Its `aud` must name one of these; empty: any.
    pub audience: Vec<String>,
    /// Its `iss` must be one of these; empty: any.
    pub issuer: Vec<String>,
    /// The claim with the SHA-256 of the body, in the rule's encoding.
    pub body_claim: Option<String>,
    /// If set, the token carries its certificates, and their chain must end here.
    pub root: Option<Arc<PinnedRoot>>,
}

/// A member that must have one of some values, so that another customer's genuine event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// Where it is: in the token's payload or, without a token, in the signed body.
    pub pointer: Pointer,
    /// The allowed values; a boolean is `true` or `false`.
    pub values: Vec<String>,
}

/// Where a request names the certificate that its signature is checked with, and which of them may be
/// fetched.
#[derive(Clone, Debug)]
pub struct CertificateRule {
    /// Where the URL is.
    pub url: Place,
    /// The hosts that it may name; never empty.
    pub hosts: Vec<HostPattern>,
    /// The path that it must have.
    pub path: PathPattern,
}

impl CertificateRule {
    /// A URL that may be named, for deliveries that are made up.
    #[must_use]
    pub fn example_url(&self) -> String {
        let host = self.hosts.first().map_or("", |host| host.0.as_str()).replace('*', "us-east-1");
        format!("https://{host}{}", self.path.0.replace('*', "hookward"))
    }
}

/// A host, with its port if it is not 443. `*` matches three or more letters, digits or hyphens of
/// one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Reads `sns.*.amazonaws.com` or `keys.example.com:8443`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = split_port(text).ok_or("its port is no number")?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
        let labels: Vec<_> = host.split('.').collect();
        if labels.iter().any(|label| label.is_empty() || !label.chars().all(fits)) {
            return Err("not a host in lower case".to_owned());
        }
        let wild = labels.iter().rposition(|label| label.contains('*'));
        if wild.is_some_and(|at| at + 2 >= labels.len()) {
            return Err(
                "`*` may not stand in the last two labels: anybody can have such a host".to_owned()
            );
        }
        _ = port;
        Ok(Self(text.to_owned()))
    }

    /// Whether a host, in lower case, with its port if it has one, is one of these.
    #[must_use]
    pub fn matches(&self, host: &str, port: Option<u16>) -> bool {
        let Some((pattern, own_port)) = split_port(&self.0) else { return false };
        let mut labels = host.split('.');
        let mut wanted = pattern.split('.');
        loop {
            match (wanted.next(), labels.next()) {
                (None, None) => return own_port.unwrap_or(443) == port.unwrap_or(443),
                (Some(wanted), Some(label)) if label_fits(wanted, label) => {}
                _ => return false,
            }
        }
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        None => Some((text, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
    }
}

/// The shortest run that a `*` matches: no cloud region has a shorter name.
const LEAST_RUN: usize = 3;

fn label_fits(pattern: &str, label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let Some((before, after)) = pattern.split_once('*') else { return pattern == label };
    let run = label.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    run.is_some_and(|run| run.len() >= LEAST_RUN && run.bytes().all(allowed))
}

/// A path in which one `*` matches letters, digits, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// Reads `/SimpleNotificationService-*.pem`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.contains(['?', '#', '%', '\\']) || text.contains("..") {
            return Err(
                "not a path: it begins with `/` and has no `?`, `#`, `%`, `\\` or `..`".to_owned()
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a path is one of these.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let Some((before, after)) = self.0.split_once('*') else { return self.0 == path };
        let run = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        run.is_some_and(|run| !run.is_empty() && run.bytes().all(allowed))
    }
}

/// The members of a message of Amazon SNS that a signature may cover
/// (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
pub(crate) static SNS_MEMBERS: LazyLock<Vec<Pointer>> = LazyLock::new(|| {
    let names = [
        "Message",
        "MessageId",
        "Subject",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ];
    names.into_iter().filter_map(|name| Pointer::parse(&format!("/{name}")).ok()).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_of_the_pattern_and_of_no_other_domain() {
        let sns = HostPattern::parse("sns.*.amazonaws.com").expect("a pattern");
        for (host, port, expected) in [
            ("sns.us-east-1.amazonaws.com", None, true),
            ("sns.us-east-1.amazonaws.com", Some(443), true),
            ("sns.us-east-1.amazonaws.com", Some(8443), false),
            ("sns.us.amazonaws.com", None, false),
            ("sns.a.b.amazonaws.com", None, false),
            ("sns..amazonaws.com", None, false),
            ("sns.us-east-1.amazonaws.com.example.com", None, false),
            ("evil.sns.us-east-1.amazonaws.com", None, false),
            ("sns.us-east-1.amazonaws.co", None, false),
            ("sns.us_east.amazonaws.com", None, false),
        ] {
            assert_eq!(sns.matches(host, port), expected, "{host} {port:?}");
        }
        let local = HostPattern::parse("keys.example.com:8443").expect("a pattern");
        assert!(local.matches("keys.example.com", Some(8443)));
        assert!(!local.matches("keys.example.com", None));
        for text in ["*.com", "example.*", "", "a..b", "Example.com", "a.com:x", "a@b.com"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_has_one_name_in_place_of_the_star() {
        let pattern = PathPattern::parse("/SimpleNotificationService-*.pem").expect("a pattern");
        for (path, expected) in [
            ("/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem", true),
            ("/SimpleNotificationService-.pem", false),
            ("/SimpleNotificationService-a/../b.pem", false),
            ("/SimpleNotificationService-a.pem.txt", false),
            ("/x/SimpleNotificationService-a.pem", false),
        ] {
            assert_eq!(pattern.matches(path), expected, "{path}");
        }
    }
}
