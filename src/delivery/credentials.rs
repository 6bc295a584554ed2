//! The credentials for a receiver: configured headers, and Hookward's own signature.
//!
//! A receiver that checks the sender's timestamp would refuse on Monday an event signed on
//! Saturday. Hookward's signature is new for each attempt.

use crate::delivery::headers::{self, printable};
use crate::outgoing_lines::OutgoingLines;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::request::folded;
use http::{HeaderName, HeaderValue};
use sha2::Sha256;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The prefix of Standard Webhooks headers, folded.
const STANDARD_WEBHOOKS: &str = "webhook-";

/// A secret of Standard Webhooks, decoded.
#[derive(Clone, Debug)]
pub struct AttestationKey(Secret);

impl AttestationKey {
    /// Decodes base64 of 24 to 64 bytes, with or without `whsec_` before it.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let text = secret.expose().trim_ascii();
        let text = text.strip_prefix(b"whsec_").unwrap_or(text);
        let key = data_encoding::BASE64.decode(text).ok()?;
        (24..=64).contains(&key.len()).then(|| Self(Secret::new(key)))
    }
}

/// The headers that are set on every request to one upstream.
#[derive(Debug, Default)]
pub struct Credentials {
    headers: Vec<(HeaderName, HeaderValue)>,
    keys: Vec<AttestationKey>,
    /// One of them cannot be read. Nothing is sent without it: the receiver would refuse it, and a
    /// refusal counts against the event.
    pub is_incomplete: bool,
}

impl Credentials {
    /// These headers, and a signature by each of these keys.
    #[must_use]
    pub const fn new(headers: Vec<(HeaderName, HeaderValue)>, keys: Vec<AttestationKey>) -> Self {
        Self { headers, keys, is_incomplete: false }
    }

    /// Whether nothing is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.keys.is_empty()
    }

    /// Whether a header is set by Hookward or by the connection.
    #[must_use]
    pub fn is_reserved(name: &HeaderName) -> bool {
        let folded = folded(name.as_str());
        let is_ours = folded.starts_with("hookward-")
            || folded.starts_with(STANDARD_WEBHOOKS)
            || ["host", "content-length", "idempotency-key"].contains(&folded.as_ref());
        is_ours || headers::is_hop_by_hop(name.as_str())
    }

    /// Sets them on a request; `now` is asked for the time if there is something to sign. What the sender has under these names, or under names that
    /// some readers take for the same, goes. `event` is source and event id, where they are proven.
    pub fn apply(
        &self,
        request: &mut OutgoingLines,
        body: &[u8],
        event: Option<(&str, &str)>,
        now: impl FnOnce() -> UnixMillis,
    ) {
        for (name, _) in &self.headers {
            drop_lookalikes(request, |folded_name| folded_name == folded(name.as_str()));
        }
        for (name, value) in &self.headers {
            request.push(name, value.as_bytes());
        }
        if self.keys.is_empty() {
            return;
        }
        drop_lookalikes(request, |folded_name| folded_name.starts_with(STANDARD_WEBHOOKS));
        // Of what nothing is proven nothing is attested.
        let Some((source, event_id)) = event else { return };
        let id = format!("{source}:{event_id}");
        let id = printable(&id);
        let timestamp = now().0.div_euclid(1000).to_string();
        let signatures: Vec<String> =
            self.keys.iter().map(|key| key.sign(&id, &timestamp, body)).collect();
        let values = [(ID, &*id), (TIMESTAMP, &timestamp), (SIGNATURE, &signatures.join(" "))];
        for (name, text) in values {
            request.push(&name, text.as_bytes());
        }
    }
}

impl AttestationKey {
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose()) else {
            return String::new();
        };
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()))
    }
}

fn drop_lookalikes(lines: &mut OutgoingLines, is_one: impl Fn(&str) -> bool) {
    lines.retain(|name| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        !is_one(&folded(&name))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn key(text: &str) -> AttestationKey {
        AttestationKey::of(&Secret::from(text.to_owned())).unwrap()
    }

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of standard-webhooks.com's reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn the_senders_headers_of_these_names_and_lookalikes_go() {
        let mut request = OutgoingLines::default();
        for name in ["authorization", "x_tenant", "webhook_id", "webhook-signature", "x-other"] {
            request.push(&HeaderName::from_static(name), b"theirs");
        }
        let own = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let credentials = Credentials::new(
            vec![own("authorization", "Bearer t"), own("x-tenant", "42")],
            vec![key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
        );
        credentials.apply(&mut request, b"{}", Some(("shop", "a%b")), || UnixMillis(1_000_999));
        let request = HeaderMap::from(&request);
        let mut names: Vec<_> = request.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "authorization",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
            "x-other",
            "x-tenant",
        ];
        assert_eq!(names, expected);
        assert_eq!(request["authorization"], "Bearer t");
        assert_eq!(request["webhook-id"], "shop:a%25b", "as it is signed");
        assert_eq!(request["webhook-timestamp"], "1000");
        let signatures = request["webhook-signature"].to_str().unwrap();
        let expected = key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign("shop:a%25b", "1000", b"{}");
        assert_eq!(signatures.split(' ').next(), Some(expected.as_str()));
        assert_eq!(signatures.split(' ').count(), 2);
    }

    #[test]
    fn what_is_ours_or_the_connections_cannot_be_set() {
        for name in [
            "host",
            "content-length",
            "connection",
            "transfer-encoding",
            "hookward-source",
            "hookward_source",
            "idempotency-key",
            "webhook-id",
        ] {
            assert!(Credentials::is_reserved(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!Credentials::is_reserved(&HeaderName::from_static("authorization")));
    }
}
