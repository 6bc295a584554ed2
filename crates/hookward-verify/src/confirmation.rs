//! Subscriptions that the receiver confirms by requesting a URL from the sender's message (Amazon
//! SNS).
//!
//! This module makes no requests: it returns the URL, and the caller fetches it. It returns a URL
//! only for a message that is genuine and fresh, and only if the URL is on a host that the
//! configuration pins.

use crate::fault::Fault;
use crate::json::{Member, read_raw};
use crate::request::Request;
use crate::scheme::{HandshakeKind, Pointer};
use crate::sender::Sender;
use crate::verify::{Genuine, read_unsigned_timestamp};
use hookward_time::UnixMillis;
use url::Url;

/// The URL that a genuine message asks the receiver to visit. `None` if it asks for nothing, or the
/// source does not answer such messages.
///
/// # Errors
/// [`Fault::SignatureMismatch`] for a URL that is not pinned; the faults of the time.
#[must_use]
pub fn of(
    sender: &Sender,
    head: Request<'_>,
    body: &[u8],
    genuine: &Genuine,
    now: UnixMillis,
) -> Option<Result<Url, Fault>> {
    if sender.scheme.handshake.as_ref()?.kind != HandshakeKind::AwsSns {
        return None;
    }
    let (kind, url) = (Pointer::of(&["Type"]), Pointer::of(&["SubscribeURL"]));
    let raw = read_raw(body, &[&kind, &url]).ok()?;
    let text = |index: usize| raw.get(index).copied().flatten().map(Member::of);
    if text(0)?.text() != Some("SubscriptionConfirmation") {
        return None;
    }
    let timestamp = sender.scheme.timestamp.as_ref();
    let fresh = || -> Result<(), Fault> {
        let sent = match timestamp {
            Some(_) if genuine.sent().is_none() => {
                Some(read_unsigned_timestamp(sender, head, body)?)
            }
            _ => genuine.sent(),
        };
        sender.check_freshness(sent, now)
    };
    if let Err(fault) = fresh() {
        return Some(Err(fault));
    }
    let url = text(1).and_then(|url| pinned(sender, url.text()?));
    Some(url.ok_or_else(|| Fault::SignatureMismatch("`SubscribeURL` is on no pinned host".into())))
}

fn pinned(sender: &Sender, text: &str) -> Option<Url> {
    let rule = sender.scheme.signature.certificate.as_ref()?;
    let url = Url::parse(text).ok().filter(|url| url.as_str() == text)?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    let confirms =
        url.query_pairs().any(|(name, value)| name == "Action" && value == "ConfirmSubscription");
    let host = url.domain()?;
    let pinned = rule.hosts.iter().any(|pattern| pattern.matches(host, url.port()));
    (plain && confirms && pinned).then_some(url)
}
