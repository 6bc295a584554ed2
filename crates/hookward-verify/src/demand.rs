//! Which keys a request needs before its signature can be checked, if the sender publishes its
//! keys.
//!
//! This module makes no requests: it reads the request and returns which key it needs, and the
//! caller fetches it or already has it. It returns a URL from a request only if the configuration
//! pins its host and path, so that no stranger chooses what is fetched.

use crate::certificates::Certificate;
use crate::fault::Fault;
use crate::jwt;
use crate::keys::{Key, Keys, Material};
use crate::message_signatures;
use crate::request::Request;
use crate::scheme::{Algorithm, CertificateRule, Place};
use crate::sender::Sender;
use crate::verify::{Inputs, OneHeader, one_header};
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use std::sync::Arc;
use url::Url;

/// The keys for checking a request.
#[derive(Debug)]
pub enum Demand {
    /// The keys of the source's secrets.
    Own,
    /// The keys of the sets that the source's secrets name, and a particular one if the request
    /// names it.
    Published {
        /// The `kid` of the token.
        key_id: Option<String>,
    },
    /// The one in this certificate.
    Certificate {
        /// Its URL: https, on a pinned host, with a pinned path.
        url: Url,
    },
    /// A key that came with the request, with a chain to the pinned root.
    Brought(Keys),
}

/// Says which keys a request needs.
///
/// # Errors
/// The faults of [`verify_with`](crate::verify::verify_with) that are already certain: no
/// signature, one that does not decode, a URL that is not pinned, a chain that is not valid at
/// `now`.
pub fn demand(
    sender: &Sender,
    head: Request<'_>,
    body: &[u8],
    now: UnixMillis,
) -> Result<Demand, Fault> {
    let rule = &sender.scheme.signature;
    if let Some(certificate) = &rule.certificate {
        let inputs = Inputs::whole(sender, head, body)?;
        return Ok(Demand::Certificate { url: pinned_url(&inputs, certificate)? });
    }
    if rule.algorithm == Algorithm::HttpMessageSignatures && !sender.key_sites.is_empty() {
        let inputs = Inputs::whole(sender, head, body)?;
        let signatures = message_signatures::read(&inputs)?;
        let key_id = signatures.iter().find_map(|signature| signature.key_id());
        return Ok(Demand::Published { key_id: key_id.map(str::to_owned) });
    }
    if rule.algorithm != Algorithm::Jwt {
        return Ok(Demand::Own);
    }
    let inputs = Inputs::whole(sender, head, body)?;
    let token = jwt::Token::read(&inputs)?;
    if let Some(root) = &rule.token.root {
        let chain = token.chain()?;
        let key =
            root.leaf_key(&chain, now).map_err(|what| Fault::SignatureMismatch(what.into()))?;
        return Ok(Demand::Brought(Keys::brought(key)));
    }
    if sender.key_sites.is_empty() {
        return Ok(Demand::Own);
    }
    // A token of another algorithm is refused whatever the key, so nothing is fetched for it.
    token.algorithm_of(rule)?;
    Ok(Demand::Published { key_id: token.key_id().map(str::to_owned) })
}

/// The keys for checking a request, from the certificate that it names.
///
/// # Errors
/// [`Fault::SignatureMismatch`], where the certificate is not valid at `now`.
pub fn keys_of_certificate(
    keys: &Keys,
    certificate: &Certificate,
    now: UnixMillis,
) -> Result<Keys, Fault> {
    if !certificate.is_valid_at(now) {
        return Err(Fault::SignatureMismatch(
            "the certificate that the request names has expired, or is not valid yet".into(),
        ));
    }
    Ok(keys.with_certificate(certificate))
}

impl Keys {
    fn brought(key: crate::keys::PublicKey) -> Self {
        Self::single(Key {
            label: "certificate".into(),
            entry: 0,
            id: None,
            text: Secret::new(Vec::new()),
            material: Material::Public { key: Arc::new(key), only: None },
        })
    }
}

fn pinned_url(inputs: &Inputs<'_>, rule: &CertificateRule) -> Result<Url, Fault> {
    let missing = || Fault::SignatureMissing(format!("there is no `{}`", rule.url).into());
    let text = match &rule.url {
        Place::Header(name) => match one_header(inputs.head, name) {
            OneHeader::Absent => return Err(missing()),
            OneHeader::Ambiguous => {
                let detail = format!("the header `{name}` has several values");
                return Err(Fault::SignatureMalformed(detail.into()));
            }
            OneHeader::Value(value) => String::from_utf8_lossy(value).into_owned(),
        },
        Place::Json(pointer) => inputs.member(pointer).text().ok_or_else(missing)?.to_owned(),
        Place::BodySha256 | Place::Claim(_) | Place::Joined(_) => return Err(missing()),
    };
    pinned(&text, rule).ok_or_else(|| {
        let detail = format!("the URL at `{}` is on no pinned host and path", rule.url);
        Fault::SignatureMismatch(detail.into())
    })
}

/// A URL whose parts are all pinned. A text that differs from the URL that is parsed from it is
/// refused, because two parsers might see two hosts in it.
pub(crate) fn pinned(text: &str, rule: &CertificateRule) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.as_str() == text)?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let host = url.domain()?;
    let pinned = rule.hosts.iter().any(|pattern| pattern.matches(host, url.port()));
    (plain && pinned && rule.path.matches(url.path())).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::{HostPattern, PathPattern};

    #[test]
    fn only_a_pinned_url_is_ever_given_out() {
        let rule = CertificateRule {
            url: Place::parse("json:/SigningCertURL").expect("a place"),
            hosts: vec![HostPattern::parse("sns.*.amazonaws.com").expect("a host")],
            path: PathPattern::parse("/SimpleNotificationService-*.pem").expect("a path"),
        };
        let good = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem";
        assert!(pinned(good, &rule).is_some());
        for bad in [
            "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-ab.pem",
            "https://example.com/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com@example.com/SimpleNotificationService-ab.pem",
            "https://x@sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com:444/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com/x/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem?x=1",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem#x",
            "https://sns.us-east-1.amazonaws.com/a/../SimpleNotificationService-ab.pem",
            "https://SNS.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            "https:sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            "https:\\\\sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            " https://sns.us-east-1.amazonaws.com/SimpleNotificationService-ab.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotification\tService-ab.pem",
            "https://127.0.0.1/SimpleNotificationService-ab.pem",
            "file:///SimpleNotificationService-ab.pem",
            "",
        ] {
            assert!(pinned(bad, &rule).is_none(), "{bad}");
        }
    }
}
