//! Handshakes of senders' protocols, answered by the proxy and never forwarded.
//!
//! A sender asks an endpoint to prove something before (or between) its events. Most of these
//! questions can be asked by anybody, so an answer gives away as little as the protocol allows: a
//! challenge is echoed only in the exact shape, bounded, as plain text that no browser will take
//! for a page, and a keyed answer is given only for a token that cannot be the text of an event
//! (else the endpoint would sign forgeries on demand). Where the question is signed, the signature
//! must hold. A POST that does not have the shape is no handshake and goes the way of every delivery.

use crate::fault::Fault;
use crate::json::{Member, read_raw};
use crate::keys::{Keys, Running, sha256};
use crate::request::Request;
use crate::scheme::{Handshake, HandshakeKind as Kind, Pointer};
use crate::sender::Sender;
use crate::verify::check;
use data_encoding::{BASE64, HEXLOWER};
use hookward_secret::{NamedSecret, Secret};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

#[cfg(test)]
mod tests;

/// What the sender's protocol asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers a request that is not a `POST`, before anything of a body is read. `None`: it is no
/// handshake.
///
/// # Errors
/// [`Fault::SignatureMismatch`] for a wrong verify token, [`Fault::SecretUnavailable`] where the
/// answer needs a secret that could not be read.
#[must_use]
pub fn answer_head(
    handshake: &Handshake,
    source: &Sender,
    head: Request<'_>,
) -> Option<Result<Reply, Fault>> {
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
        _ => None,
    }
}

/// Answers a `POST` whose body is whole. `verified` says whether its signature holds. `None`: it
/// is no handshake.
///
/// # Errors
/// The signature's refusal, where the protocol signs its question and the signature does not hold;
/// [`Fault::SecretUnavailable`] as above.
#[must_use]
pub fn answer_body(
    handshake: &Handshake,
    source: &Sender,
    head: Request<'_>,
    body: &[u8],
    verified: Result<(), &Fault>,
) -> Option<Result<Reply, Fault>> {
    if *head.method != Method::POST || body.len() > MAX_QUESTION_BYTES {
        return None;
    }
    let signed = |reply: Result<Reply, Fault>| Some(verified.map_err(Clone::clone).and(reply));
    match handshake.kind {
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
            let is_known = || signed_with_the_known_key(handshake.kind, source, head, body);
            mandrill_has_no_events(body).then(|| match verified {
                Err(_) if is_known() => Some(Ok(Reply::empty())),
                _ => signed(Ok(Reply::empty())),
            })?
        }
        Kind::Xero | Kind::Line => has_no_events(body).then(|| signed(Ok(Reply::empty())))?,
        Kind::Asana => {
            let name = HeaderName::from_static("x-hook-secret");
            let secret = head.first_text(&name)?;
            let is_question = is_token(secret) && lists_nothing(body, "events");
            // An event is signed; the question comes before there is a key.
            let is_signed = head.first(&HeaderName::from_static("x-hook-signature")).is_some();
            (is_question && !is_signed).then_some(())?;
            let mut reply = Reply::empty();
            reply.headers.insert(name, HeaderValue::from_str(secret).ok()?);
            Some(Ok(reply))
        }
        Kind::Microsoft => {
            let token = query_parameter(head, "validationToken")?;
            (is_line(&token) && lists_nothing(body, "value")).then(|| Ok(Reply::text(token)))
        }
        Kind::Monday => {
            let question = object(body)?;
            let challenge = token_member(&question, "challenge")?;
            (question.len() == 1).then(|| Ok(Reply::json(&json!({ "challenge": challenge }))))
        }
        Kind::Notion => {
            let question = object(body)?;
            token_member(&question, "verification_token")?;
            (question.len() == 1).then(|| Ok(Reply::empty()))
        }
        Kind::Salesforce => {
            let question = object(body)?;
            token_member(&question, "callbackId")?;
            token_member(&question, "verificationKey")?;
            (question.len() == 2).then(|| Ok(Reply::empty()))
        }
        Kind::Vtex => {
            let question = object(body)?;
            let is_ping = question.len() == 1 && question.get("hookConfig")? == "ping";
            is_ping.then(|| Ok(Reply::empty()))
        }
        Kind::Woocommerce => {
            let number = body.strip_prefix(b"webhook_id=")?;
            let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            is_number.then(|| Ok(Reply::empty()))
        }
        Kind::ExactOnline => body.is_empty().then(|| Ok(Reply::empty())),
        // The last one takes a request of ours; see `confirmation`.
        Kind::Meta
        | Kind::X
        | Kind::Okta
        | Kind::Dropbox
        | Kind::Trello
        | Kind::Ebay
        | Kind::AwsSns => None,
    }
}

/// No question of any protocol is longer.
const MAX_QUESTION_BYTES: usize = 4096;

/// No challenge that is echoed is longer.
const MAX_ECHO_BYTES: usize = 1024;

fn meta(handshake: &Handshake, head: Request<'_>) -> Option<Result<Reply, Fault>> {
    let challenge = token_in_query(head, "hub.challenge")?;
    let token = query_parameter(head, "hub.verify_token")?;
    (query_parameter(head, "hub.mode")? == "subscribe").then_some(())?;
    let expected = match verify_token(handshake) {
        Ok(expected) => expected,
        Err(fault) => return Some(Err(fault)),
    };
    // Hashed first, so that the time taken does not tell how long the right one is.
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
    let mut hash = Running::hmac_sha256(key.text.expose())
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

fn token_member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|token| is_token(token))
}

/// What challenges are made of. It has no braces, quotes or colons, so that it is neither JSON nor
/// markup nor the signed text of an event.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (1..=MAX_ECHO_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Microsoft's tokens are sentences.
fn is_line(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && !b"<>".contains(&byte);
    (1..=MAX_ECHO_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}

/// Whether a body without an event is of this type. Discord's two protocols share a signature, and
/// what is a PING in one is an EVENT in the other.
fn is_ping(body: &[u8], kind: u8) -> Option<bool> {
    let message = object(body)?;
    let carries_more = message.contains_key("event") || message.contains_key("data");
    Some(*message.get("type")? == kind && !carries_more)
}

/// Whether the body is empty, or an object in which `list` is absent or empty.
fn lists_nothing(body: &[u8], list: &str) -> bool {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    body.trim_ascii().is_empty()
        || object(body).is_some_and(|members| {
            members.iter().all(|(name, value)| name == list && is_empty(value))
        })
}

/// Whether the form has one field, `mandrill_events`, and no event in it.
fn mandrill_has_no_events(body: &[u8]) -> bool {
    let mut fields = form_urlencoded::parse(body);
    let events = fields.next().filter(|(name, _)| name == "mandrill_events");
    let is_empty = events.is_some_and(|(_, events)| {
        serde_json::from_str::<Vec<Value>>(&events).is_ok_and(|events| events.is_empty())
    });
    is_empty && fields.next().is_none()
}

/// Whether Mandrill's question is signed as its help says: with a key that everybody knows, so
/// that this proves nothing and lets nothing in.
fn signed_with_the_known_key(kind: Kind, source: &Sender, head: Request<'_>, body: &[u8]) -> bool {
    let Some(known) = kind.known_key() else { return false };
    let text = Secret::from(known.to_owned());
    let secret = NamedSecret { label: String::new(), text };
    Keys::new(&[secret], &source.scheme.signature)
        .is_ok_and(|keys| check(source, &keys, head, body).is_ok())
}

/// Whether `events` is there and empty.
fn has_no_events(body: &[u8]) -> bool {
    let events = Pointer::parse("/events").ok();
    let raw = events.and_then(|events| read_raw(body, &[&events]).ok()?.pop()?);
    raw.is_some_and(|raw| {
        matches!(Member::of(raw), Member::Unusable(_))
            && raw.starts_with('[')
            && raw.bytes().all(|byte| b"[] \t\r\n".contains(&byte))
            && raw.matches('[').count() == 1
    })
}

impl Reply {
    fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status: 200, content_type, headers, body }
    }

    fn text(text: String) -> Self {
        Self::new("text/plain; charset=utf-8", text.into_bytes())
    }

    fn json(value: &Value) -> Self {
        Self::new("application/json", value.to_string().into_bytes())
    }

    /// 200 with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::text(String::new())
    }

    /// 204 with a type, which Discord asks for although there is no body.
    fn no_content() -> Self {
        let mut reply = Self { status: 204, ..Self::empty() };
        reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        reply
    }
}
