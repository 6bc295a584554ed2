//! The checks, in order, that a request must pass before it counts as a delivery of its source.
//!
//! A running proxy and `explain` call the same checks. The caller reads the body and handles what
//! only a running proxy knows (addresses, rates, memory).

use crate::delivery::source::{Mode, Source};
use crate::outcome::{Reason, Refusal};
use crate::request::{BodyError, RequestHead};
use hookward_time::UnixMillis;
use hookward_verify::fault::Fault;
use hookward_verify::handshake::{self, Reply};
use hookward_verify::verify::{Genuine, SignatureCheck};
use http::{Method, header};

/// What follows once the head has passed.
pub enum Opened<'a> {
    /// A handshake that the head alone asks for.
    Handshake(Reply),
    /// The source has no secret to check with, so its body is not read.
    Secretless(Fault),
    /// The body is to be read, and shown to the check of the signature.
    Body(Result<SignatureCheck<'a>, Fault>),
}

/// Judges the head. `declared` is how many bytes of body are announced; `admit` is what only a
/// running proxy can ask, and comes when the method is known to be right.
///
/// # Errors
/// The first thing that does not hold.
pub fn open<'a>(
    source: &'a Source,
    head: &'a RequestHead,
    declared: Option<usize>,
    max_body_bytes: usize,
    admit: impl FnOnce() -> Result<(), Refusal>,
) -> Result<Opened<'a>, Refusal> {
    if !source.sender.methods().any(|method| method == head.method) {
        return Err(Reason::MethodNotAllowed.into());
    }
    admit()?;
    if let Some(reply) = handshake::answer_head(&source.sender, head.view()) {
        return Ok(Opened::Handshake(reply?));
    }
    // The other methods are there for handshakes only.
    if head.method != Method::POST {
        return Err(Reason::MethodNotAllowed.into());
    }
    let signature = SignatureCheck::begin(&source.sender, head.view());
    // Some senders' first question comes before there is a secret, so a body may still be worth
    // reading where there is a handshake.
    if source.sender.scheme.handshake.is_none()
        && source.mode == Mode::Enforce
        && let Err(fault) = signature
    {
        return Ok(Opened::Secretless(fault));
    }
    body_is_plain(head, declared, max_body_bytes)?;
    Ok(Opened::Body(signature))
}

/// The answer to a handshake that the body asks for; `None`: it is a delivery like any other.
///
/// # Errors
/// The sender's protocol signs its question, and this one is not genuine and fresh.
#[must_use]
pub fn handshake_in_body(
    source: &Source,
    head: &RequestHead,
    body: &[u8],
    genuine: &Result<Genuine, Fault>,
    now: UnixMillis,
) -> Option<Result<Reply, Fault>> {
    let verified = genuine.as_ref().map_err(Fault::clone).and_then(|genuine| {
        source.sender.check_token_freshness(genuine.sent(), genuine.lifetime(), now)
    });
    handshake::answer_body(&source.sender, head.view(), body, verified.as_ref().copied())
}

/// The length that the head declares.
#[must_use]
pub fn declared_bytes(head: &RequestHead) -> Option<usize> {
    head.headers.text(header::CONTENT_LENGTH)?.parse().ok()
}

/// A compressed body is not what was signed. A length that is over the limit is said first, as it
/// would be if the body were plain.
fn body_is_plain(
    head: &RequestHead,
    declared: Option<usize>,
    max_body_bytes: usize,
) -> Result<(), Refusal> {
    if declared.is_some_and(|bytes| bytes > max_body_bytes) {
        return Err(BodyError::TooLarge.into());
    }
    if head.has_plain_body() { Ok(()) } else { Err(Reason::ContentEncoding.into()) }
}

impl From<BodyError> for Refusal {
    fn from(fault: BodyError) -> Self {
        match fault {
            BodyError::TooLarge => Reason::BodyTooLarge.into(),
            BodyError::TimedOut => Reason::BodyTimeout.into(),
            BodyError::NoMemory => Self::because(Reason::Overloaded, "body_memory is used up"),
            BodyError::NoShare => Self::because(
                Reason::Overloaded,
                "this address has used up its part of body_memory",
            ),
            BodyError::Broken => Self::because(Reason::BadRequest, "the body broke off"),
        }
    }
}

/// Whether the address of a sender is one that `allow` lists; else what was judged.
pub fn address_is_allowed(source: &Source, head: &RequestHead) -> Result<(), Refusal> {
    let listed = source.allow.iter().any(|net| net.contains(&head.client));
    if listed || source.allow.is_empty() {
        return Ok(());
    }
    let judged = match (head.via, head.ignored_forwarding) {
        (Some(proxy), _) if proxy == head.client => {
            format!("judged {proxy}, a trusted proxy that names no sender")
        }
        (Some(proxy), _) => format!("judged {}, as the trusted proxy {proxy} says", head.client),
        (None, true) => format!(
            "judged {}, the other end of the connection; its X-Forwarded-For was ignored, since it is \
             not in server.trusted_proxies",
            head.client
        ),
        (None, false) => format!("judged {}, the other end of the connection", head.client),
    };
    Err(Refusal::because(Reason::AddressNotAllowed, judged))
}
