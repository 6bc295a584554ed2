//! Requests that senders make before or between events, and the answers to them.
//!
//! Anyone can make most of these requests, so an answer reveals as little as the protocol allows:
//!
//! - A challenge is echoed only if the request has exactly the protocol's shape. It is bounded, and
//!   sent as plain text that a browser does not render.
//! - An answer that needs the key is given only for a token that cannot be the text of an event.
//!   Otherwise the endpoint would sign forgeries on demand.
//! - If the protocol signs the request, the signature must match.
//!
//! A `POST` of any other shape is not a handshake: treat it as a delivery.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hookward_verify::handshake::answer_head;
//! use hookward_verify::{Request, Sender};
//!
//! let meta = Sender::preset("meta", ["the app's secret"])?.with_verify_token("our token");
//! let query = "hub.mode=subscribe&hub.verify_token=our+token&hub.challenge=1158201444";
//! let question = http::Request::get(format!("/meta?{query}")).body(())?;
//! let reply = answer_head(&meta, Request::of(&question)).expect("a handshake")?;
//! assert_eq!((reply.status, reply.body), (200, b"1158201444".to_vec()));
//! # Ok(())
//! # }
//! ```

use crate::fault::Fault;
use crate::keys::{Keys, RunningHash, sha256};
use crate::request::Request;
use crate::scheme::{Handshake, HandshakeKind as Kind};
use crate::sender::Sender;
use crate::verify::check;
use data_encoding::{BASE64, HEXLOWER};
use hookward_secret::{NamedSecret, Secret};
use http::Method;
use http::header::{ALLOW, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

mod body;
mod reply;
#[cfg(test)]
mod tests;

pub use self::reply::Reply;

use self::body::{has_no_events, is_ping, lists_nothing, mandrill_has_no_events, object};

/// Answers a request that is not a `POST`; its body need not be read. `None` if it is not a
/// handshake.
///
/// # Errors
/// [`Fault::SignatureMismatch`] for a wrong verify token, [`Fault::SecretUnavailable`] if the
/// answer needs a secret that could not be read.
#[must_use]
pub fn answer_head(source: &Sender, head: Request<'_>) -> Option<Result<Reply, Fault>> {
    let handshake = source.scheme.handshake.as_ref()?;
    if !handshake.kind.methods().contains(head.method) {
        return None;
    }
    match handshake.kind {
        Kind::Trello | Kind::Mandrill => Some(Ok(Reply::empty())),
        Kind::Meta => meta(handshake, head),
        Kind::Dropbox => Some(Ok(Reply::text(token_in_query(head, "challenge")?))),
        Kind::X => {
            let tag = keyed(source, &token_in_query(head, "crc_token")?);
            Some(tag.map(|tag| {
                let token = format!("sha256={}", BASE64.encode(&tag));
                Reply::json(&json!({ "response_token": token }))
            }))
        }
        Kind::Okta => {
            let challenge =
                head.first_text(&HeaderName::from_static("x-okta-verification-challenge"))?;
            let challenge = is_token(challenge).then_some(challenge)?;
            Some(Ok(Reply::json(&json!({ "verification": challenge }))))
        }
        Kind::Ebay => ebay(handshake, source, head),
        Kind::CloudEvents => permission(head).map(Ok),
        Kind::AdobeSign => adobe_sign(source, head),
        _ => None,
    }
}

/// Answers a `POST` once its body is complete. `verified` says whether its signature matched.
/// `None` if it is not a handshake.
///
/// # Errors
/// The signature's fault if the protocol signs the request and the signature is wrong;
/// [`Fault::SecretUnavailable`] as above.
#[must_use]
pub fn answer_body(
    source: &Sender,
    head: Request<'_>,
    body: &[u8],
    verified: Result<(), &Fault>,
) -> Option<Result<Reply, Fault>> {
    let handshake = source.scheme.handshake.as_ref()?;
    if *head.method != Method::POST || body.len() > MAX_QUESTION_BYTES {
        return None;
    }
    match signed_question(handshake.kind, source, head, body, verified) {
        Some(answer) => Some(answer),
        None => unsigned_question(handshake.kind, head, body).map(Ok),
    }
}

/// The answer to a signed request.
fn signed_question(
    kind: Kind,
    source: &Sender,
    head: Request<'_>,
    body: &[u8],
    verified: Result<(), &Fault>,
) -> Option<Result<Reply, Fault>> {
    let signed = |reply: Result<Reply, Fault>| Some(verified.map_err(Clone::clone).and(reply));
    match kind {
        Kind::Slack => {
            let question = object(body)?;
            let challenge = token_member(&question, "challenge")?;
            let is_question = question.get("type")? == "url_verification";
            (is_question && !question.contains_key("event"))
                .then(|| signed(Ok(Reply::text(challenge.to_owned()))))?
        }
        Kind::Zoom => {
            let question = object(body)?;
            (question.get("event")? == "endpoint.url_validation").then_some(())?;
            let plain = token_member(question.get("payload")?.as_object()?, "plainToken")?;
            signed(keyed(source, plain).map(|tag| {
                let encrypted = HEXLOWER.encode(&tag);
                Reply::json(&json!({ "plainToken": plain, "encryptedToken": encrypted }))
            }))
        }
        Kind::Discord => {
            is_ping(body, 1)?.then(|| signed(Ok(Reply::json(&json!({ "type": 1 })))))?
        }
        Kind::DiscordEvents => is_ping(body, 0)?.then(|| signed(Ok(Reply::no_content())))?,
        Kind::Mandrill => {
            let is_known = || signed_with_the_known_key(kind, source, head, body);
            mandrill_has_no_events(body).then(|| match verified {
                Err(_) if is_known() => Some(Ok(Reply::empty())),
                _ => signed(Ok(Reply::empty())),
            })?
        }
        Kind::Xero | Kind::Line => has_no_events(body).then(|| signed(Ok(Reply::empty())))?,
        Kind::Twitch => {
            // The body is signed and the header that names the kind of message is not.
            let question = object(body)?;
            let challenge = token_member(&question, "challenge")?;
            let is_question = question.len() == 2 && question.contains_key("subscription");
            is_question.then(|| signed(Ok(Reply::text(challenge.to_owned()))))?
        }
        Kind::Front => {
            let challenge = token_in_header(head, &HeaderName::from_static("x-front-challenge"))?;
            let question = object(body)?;
            let is_question = question.get("type")? == "sync" && !question.contains_key("payload");
            is_question.then(|| signed(Ok(Reply::json(&json!({ "challenge": challenge })))))?
        }
        _ => None,
    }
}

/// The answer to a request that anyone can make.
fn unsigned_question(kind: Kind, head: Request<'_>, body: &[u8]) -> Option<Reply> {
    match kind {
        Kind::Asana => {
            let name = HeaderName::from_static("x-hook-secret");
            let secret = head.first_text(&name)?;
            let is_question = is_token(secret) && lists_nothing(body, "events");
            // An event is signed; this request comes before there is a key.
            let is_signed = head.first(&HeaderName::from_static("x-hook-signature")).is_some();
            (is_question && !is_signed).then_some(())?;
            let mut reply = Reply::empty();
            reply.headers.insert(name, HeaderValue::from_str(secret).ok()?);
            Some(reply)
        }
        Kind::Microsoft => {
            let token = query_parameter(head, "validationToken")?;
            (is_line(&token) && lists_nothing(body, "value")).then(|| Reply::text(token))
        }
        Kind::Monday => {
            let question = object(body)?;
            let challenge = token_member(&question, "challenge")?;
            (question.len() == 1).then(|| Reply::json(&json!({ "challenge": challenge })))
        }
        Kind::Notion => {
            let question = object(body)?;
            token_member(&question, "verification_token")?;
            (question.len() == 1).then(Reply::empty)
        }
        Kind::Salesforce => {
            let question = object(body)?;
            token_member(&question, "callbackId")?;
            token_member(&question, "verificationKey")?;
            (question.len() == 2).then(Reply::empty)
        }
        Kind::Vtex => {
            let question = object(body)?;
            let is_ping = question.len() == 1 && question.get("hookConfig")? == "ping";
            is_ping.then(Reply::empty)
        }
        Kind::Woocommerce => {
            let number = body.strip_prefix(b"webhook_id=")?;
            let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            is_number.then(Reply::empty)
        }
        Kind::ExactOnline => body.is_empty().then(Reply::empty),
        Kind::EventGrid => {
            let code = subscription_validation(head, body)?;
            Some(Reply::json(&json!({ "validationResponse": code })))
        }
        _ => None,
    }
}

/// The header that the answer to an event repeats, if the protocol requires it and the event has
/// it.
#[must_use]
pub fn echoed(source: &Sender, head: Request<'_>) -> Option<(HeaderName, HeaderValue)> {
    let name = source.scheme.handshake.as_ref()?.kind.echoes()?;
    let value = token_in_header(head, &name)?;
    Some((name, HeaderValue::from_str(value).ok()?))
}

/// The longest request of any protocol.
const MAX_QUESTION_BYTES: usize = 4096;

/// The longest challenge that is echoed.
const MAX_ECHO_BYTES: usize = 1024;

fn meta(handshake: &Handshake, head: Request<'_>) -> Option<Result<Reply, Fault>> {
    let challenge = token_in_query(head, "hub.challenge")?;
    let token = query_parameter(head, "hub.verify_token")?;
    (query_parameter(head, "hub.mode")? == "subscribe").then_some(())?;
    let expected = match verify_token(handshake) {
        Ok(expected) => expected,
        Err(fault) => return Some(Err(fault)),
    };
    // Hashed first, so that the time does not reveal the length of the right one.
    if !bool::from(sha256(token.as_bytes()).ct_eq(&sha256(expected))) {
        return Some(Err(Fault::SignatureMismatch("wrong `hub.verify_token`".into())));
    }
    Some(Ok(Reply::text(challenge)))
}

fn ebay(handshake: &Handshake, source: &Sender, head: Request<'_>) -> Option<Result<Reply, Fault>> {
    let code = token_in_query(head, "challenge_code")?;
    let url = source.public_url.as_deref().unwrap_or_default().as_bytes();
    Some(verify_token(handshake).map(|token| {
        let hash = sha256(&[code.as_bytes(), token, url].concat());
        Reply::json(&json!({ "challengeResponse": HEXLOWER.encode(&hash) }))
    }))
}

/// The permission that a sender of `CloudEvents` asks for before it sends. It authenticates no one:
/// each event still needs its token.
fn permission(head: Request<'_>) -> Option<Reply> {
    let origin = token_in_header(head, &HeaderName::from_static("webhook-request-origin"))?;
    let mut reply = Reply::empty();
    let mut allow = |name, value: &str| {
        HeaderValue::from_str(value).map(|value| reply.headers.insert(name, value)).is_ok()
    };
    // The rate that the sender asks for. Requests beyond the source's limit are answered 429.
    let rate = token_in_header(head, &HeaderName::from_static("webhook-request-rate"));
    let rate = rate.filter(|rate| rate.parse::<u32>().is_ok_and(|rate| rate > 0)).unwrap_or("*");
    let is_allowed = allow(HeaderName::from_static("webhook-allowed-origin"), origin)
        && allow(HeaderName::from_static("webhook-allowed-rate"), rate)
        && allow(ALLOW, "POST, OPTIONS");
    is_allowed.then_some(reply)
}

/// The client id is the secret: a stranger who does not know it must not learn it.
fn adobe_sign(source: &Sender, head: Request<'_>) -> Option<Result<Reply, Fault>> {
    let (name, value) = echoed(source, head)?;
    let keys = match &source.keys {
        Ok(keys) => keys,
        Err(why) => return Some(Err(Fault::SecretUnavailable(why.clone().into()))),
    };
    let given = sha256(value.as_bytes());
    // Hashed first, so that the time does not reveal the length of the right one.
    let is_ours = keys.iter().any(|key| given.ct_eq(&sha256(key.text.expose())).into());
    if !is_ours {
        return Some(Err(Fault::SignatureMismatch("another client id".into())));
    }
    let mut reply = Reply::empty();
    reply.headers.insert(name, value);
    Some(Ok(reply))
}

/// The code in Event Grid's request, whose body is one event of that type and nothing else.
fn subscription_validation(head: Request<'_>, body: &[u8]) -> Option<String> {
    (token_in_header(head, &HeaderName::from_static("aeg-event-type"))?
        == "SubscriptionValidation")
        .then_some(())?;
    let events: Vec<Map<String, Value>> = serde_json::from_slice(body).ok()?;
    let [event] = events.as_slice() else { return None };
    let is_question = event.get("eventType")? == "Microsoft.EventGrid.SubscriptionValidationEvent";
    let code = token_member(event.get("data")?.as_object()?, "validationCode")?;
    is_question.then(|| code.to_owned())
}

fn verify_token(handshake: &Handshake) -> Result<&[u8], Fault> {
    match &handshake.verify_token {
        Some(token) => Ok(token.expose()),
        None => Err(Fault::SecretUnavailable(
            "the handshake has no `verify_token` to compare with".into(),
        )),
    }
}

/// HMAC-SHA256 of a token under the newest secret, whatever the algorithm of the source's events.
fn keyed(source: &Sender, token: &str) -> Result<Vec<u8>, Fault> {
    let unavailable = |why: &str| Fault::SecretUnavailable(why.to_owned().into());
    let keys = source.keys.as_ref().map_err(|why| unavailable(why))?;
    let key = keys.iter().next().ok_or_else(|| unavailable("there is no secret"))?;
    let mut hash = RunningHash::hmac_sha256(key.text.expose())
        .ok_or_else(|| unavailable("the secret is no key"))?;
    hash.update(token.as_bytes());
    Ok(hash.finish().into_bytes())
}

/// The one value of a query parameter, percent-decoded.
fn query_parameter(head: Request<'_>, wanted: &str) -> Option<String> {
    let query = head.query?;
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
    let value = values.next()?.1.into_owned();
    values.next().is_none().then_some(value)
}

fn token_in_query(head: Request<'_>, name: &str) -> Option<String> {
    query_parameter(head, name).filter(|token| is_token(token))
}

/// The one value of a header.
fn token_in_header<'a>(head: Request<'a>, name: &HeaderName) -> Option<&'a str> {
    let value = head.first_text(name)?;
    (head.headers.value(name, 1).is_none() && is_token(value)).then_some(value)
}

fn token_member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|token| is_token(token))
}

/// The characters of challenges. They exclude braces, quotes and colons, so that a challenge is
/// neither JSON nor markup nor the signed text of an event.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (1..=MAX_ECHO_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Microsoft's tokens are sentences.
fn is_line(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && !b"<>".contains(&byte);
    (1..=MAX_ECHO_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether Mandrill's request is signed as documented, with a public key word, so that the
/// signature proves nothing and lets no event in.
fn signed_with_the_known_key(kind: Kind, source: &Sender, head: Request<'_>, body: &[u8]) -> bool {
    let Some(known) = kind.known_key() else { return false };
    let text = Secret::from(known.to_owned());
    let secret = NamedSecret { label: String::new(), text };
    Keys::new(&[secret], &source.scheme.signature)
        .is_ok_and(|keys| check(source, &keys, head, body).is_ok())
}
