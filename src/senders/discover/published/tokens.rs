//! Tokens (JWT) that a delivery carries, and tables for senders that no preset knows.

use super::super::candidates::{format_of, strings_in, telling_headers, text_at};
use super::super::envelope;
use super::super::table::quote;
use super::proposal::{Proposal, list};
use super::question::PublishedQuestion;
use crate::request::RequestHead;
use crate::senders::discover::found::FoundScheme;
use hookward_verify::jwt::Token;
use hookward_verify::scheme::{
    Encoding, EventRule, JwtAlgorithm, KeyForm, Part, Place, Pointer, Template, TimeFormat,
};
use hookward_verify::verify::decode_signature;
use serde_json::Value;
use sha2::Digest as _;

/// A token of a delivery, and where it is.
pub(super) struct Carried {
    pub(super) place: Place,
    /// The text before it there.
    prefix: String,
    pub(super) token: Token,
}

/// The longest text of a body that is looked at: tokens bring chains of certificates along.
const LONGEST_TOKEN: usize = 64 << 10;

/// Every token that the delivery carries.
pub(super) fn carried(head: &RequestHead, body: &[u8]) -> Vec<Carried> {
    let in_headers = telling_headers(head).filter_map(|(name, value)| {
        let prefix = value.rfind([' ', '=']).map_or("", |at| value.get(..=at).unwrap_or_default());
        Carried::read(Place::Header(name.clone()), prefix, value)
    });
    let texts = strings_in(body, LONGEST_TOKEN);
    let in_body = texts
        .into_iter()
        .filter_map(|(pointer, text)| Carried::read(Place::Json(pointer), "", &text));
    in_headers.chain(in_body).collect()
}

impl Carried {
    fn read(place: Place, prefix: &str, text: &str) -> Option<Self> {
        let token = Token::parse(text.get(prefix.len()..)?).ok()?;
        Some(Self { place, prefix: prefix.to_owned(), token })
    }
}

/// States for whom the token is, and, where nothing else says so, who made it.
pub(super) fn pin_receiver(with_issuer: bool, claims: &Value, proposal: &mut Proposal) {
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => Some(quote(one)),
        Some(Value::Array(many)) => {
            let texts: Vec<&str> = many.iter().filter_map(Value::as_str).collect();
            (!texts.is_empty()).then(|| list(texts))
        }
        _ => None,
    };
    proposal.signature.extend(audience.map(|audience| ("audience", audience)));
    let issuer = claims.get("iss").and_then(Value::as_str).filter(|_| with_issuer);
    proposal.signature.extend(issuer.map(|issuer| ("issuer", quote(issuer))));
}

/// The table for a token that no preset has.
pub(super) fn find(question: &PublishedQuestion<'_>, why: &mut Vec<String>) -> Option<FoundScheme> {
    let tokens = carried(question.head, question.body);
    let found = tokens.iter().find_map(|carried| match propose(question, carried) {
        Ok(proposals) => proposals.iter().find_map(|proposal| match question.proven(proposal) {
            Ok(found) => Some(found),
            Err(what) => {
                why.insert(0, format!("the token at `{}`: {what}", carried.place));
                None
            }
        }),
        Err(what) => {
            why.insert(0, format!("the token at `{}` {what}", carried.place));
            None
        }
    });
    if found.is_none() {
        why.splice(0..0, in_the_way(question, &tokens));
    }
    found
}

/// Tables for a token, the most likely first.
///
/// # Errors
/// Why there is none, as the rest of a sentence that starts with the token.
fn propose(question: &PublishedQuestion<'_>, carried: &Carried) -> Result<Vec<Proposal>, String> {
    let token = &carried.token;
    let stated = token.algorithm_name().ok_or("names no algorithm")?;
    let known = JwtAlgorithm::NAMES.iter().find(|(name, _)| *name == stated);
    let Some((name, algorithm)) = known else {
        let names: Vec<&str> = JwtAlgorithm::NAMES.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "is signed by `{}`, which no source takes; {} are taken",
            stated.escape_debug(),
            names.join(", ")
        ));
    };
    match (algorithm.method(), question.key.is_none()) {
        (None, false) => {
            return Err("is signed with a shared secret (HS256): pass that with --secret-env, \
                        without --key"
                .to_owned());
        }
        (Some(_), true) => {
            return Err(format!(
                "is signed by {name}, with a private key: pass the sender's public key or key set \
                 with --key"
            ));
        }
        _ => {}
    }
    if let (Some(set), Some(id)) = (question.key.set(), token.key_id())
        && !set.has(id)
    {
        return Err(format!(
            "names the key `{}`, which the key set does not hold: fetch the set again",
            id.escape_debug()
        ));
    }
    if let (Some(set), Some(method)) = (question.key.set(), algorithm.method())
        && !set.iter().any(|key| key.key.fits(method))
    {
        return Err(format!("is signed by {name}, and no key of the set is for that"));
    }
    let claims: Value =
        serde_json::from_slice(token.payload()).map_err(|_| "has a payload that is no JSON")?;
    let mut proposal = Proposal::default();
    proposal.state("algorithm", "jwt");
    proposal.signature.push(("jwt_algorithms", format!("[{}]", quote(name))));
    place(carried, &mut proposal);
    state_key(question, token, &claims, &mut proposal)?;
    pin_receiver(true, &claims, &mut proposal);
    state_body(question.body, &claims, &mut proposal);
    remark(carried, &claims, &mut proposal);
    state_time(&claims, &mut proposal);
    let rules = events(question, carried);
    let with_event = |event| Proposal { event: Some(event), ..proposal.clone() };
    Ok(under_each_form(question, rules.into_iter().map(with_event)))
}

/// The proposals as they are; of a shared secret, under each reading of its text as a key.
pub(super) fn under_each_form(
    question: &PublishedQuestion<'_>,
    proposals: impl Iterator<Item = Proposal>,
) -> Vec<Proposal> {
    let forms = |proposal: Proposal| {
        let is_secret = question.key.is_none();
        let names =
            KeyForm::NAMES.into_iter().filter(move |(_, form)| is_secret || *form == KeyForm::Text);
        names.map(move |(name, form)| {
            let mut proposal = proposal.clone();
            if form != KeyForm::Text {
                proposal.state("key", name);
            }
            proposal
        })
    };
    proposals.flat_map(forms).collect()
}

fn place(carried: &Carried, proposal: &mut Proposal) {
    match &carried.place {
        Place::Header(name)
            if *name == http::header::AUTHORIZATION && carried.prefix == "Bearer " => {}
        Place::Header(name) => {
            proposal.state("header", name.as_str());
            if !carried.prefix.is_empty() {
                proposal.state("prefix", &carried.prefix);
            }
        }
        other => proposal.state("token_from", &other.to_string()),
    }
}

fn state_key(
    question: &PublishedQuestion<'_>,
    token: &Token,
    claims: &Value,
    proposal: &mut Proposal,
) -> Result<(), String> {
    if question.key.is_certificate() {
        if token.chain().is_err() {
            return Err("brings no certificates that could lead to this one".to_owned());
        }
        proposal.state("x5c_root", question.names.file);
    } else if question.key.set().is_none() {
        proposal.secrets = Some(question.names.secrets());
    } else {
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let site = match issuer.strip_prefix("https://") {
            Some(host) => format!("https://{}", host.trim_end_matches('/')),
            None => "https://sender.example".to_owned(),
        };
        proposal.secrets =
            Some(format!("[{{ jwks = {} }}]", quote(&format!("{site}/.well-known/jwks.json"))));
        proposal.remarks.push(
            "The URL in `jwks` is a guess: state the one that the key set comes from.".to_owned(),
        );
    }
    Ok(())
}

/// States the claim that holds the body's hash, if one does.
fn state_body(body: &[u8], claims: &Value, proposal: &mut Proposal) {
    let hash = sha2::Sha256::digest(body);
    let of_body = claims.as_object().into_iter().flatten().find_map(|(name, value)| {
        let text = value.as_str()?;
        let mut encodings = Encoding::NAMES.into_iter();
        let (word, _) = encodings.find(|(_, encoding)| {
            decode_signature(*encoding, text).as_deref() == Some(&hash[..])
        })?;
        Some((name, word))
    });
    if let Some((name, encoding)) = of_body {
        proposal.state("body_claim", name);
        if encoding != "hex" {
            proposal.state("encoding", encoding);
        }
    }
}

/// Says what the token leaves open.
fn remark(carried: &Carried, claims: &Value, proposal: &mut Proposal) {
    let names_body = proposal.signature.iter().any(|(key, _)| *key == "body_claim");
    if !matches!(carried.place, Place::Json(_)) && !names_body {
        proposal.remarks.push(
            "The token says nothing of the body: anyone who has one can send any body with it until \
             it is too old."
                .to_owned(),
        );
    }
    if claims.get("aud").is_none() {
        proposal.remarks.push(
            "The token names no audience: a token that the sender made for another receiver is accepted \
             too, unless `claims` say whose events are wanted."
                .to_owned(),
        );
    }
}

/// States where the time of the token is, unless it is where it should be.
fn state_time(claims: &Value, proposal: &mut Proposal) {
    const TIMES: [&str; 5] = ["signedDate", "timestamp", "ts", "created", "time"];
    if claims.get("iat").is_some() {
        return;
    }
    let found = TIMES.into_iter().find_map(|name| {
        let value = claims.get(name)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((name, format_of(&text)?))
    });
    let Some((name, format)) = found else {
        proposal.remarks.push("The token does not say when it was made.".to_owned());
        proposal.timestamp.push(("max_age", quote("off")));
        return;
    };
    proposal.timestamp.push(("from", quote(&format!("claim:/{name}"))));
    if format != TimeFormat::Unix {
        proposal.timestamp.push(("format", quote(&format.to_string())));
    }
}

/// Where the event may be read: in the token where that is in the body, else in the body.
fn events(question: &PublishedQuestion<'_>, carried: &Carried) -> Vec<EventRule> {
    const IDS: [&str; 2] = ["/jti", "/notificationUUID"];
    const KINDS: [&str; 1] = ["/notificationType"];
    let body = Template(vec![Part::Body]);
    let bare = EventRule { id: vec![Place::BodySha256], ..EventRule::default() };
    if !matches!(carried.place, Place::Json(_)) {
        return vec![envelope::guess(question.head, question.body, &body), bare];
    }
    let payload = carried.token.payload();
    let claim = |place: &Place| match place {
        Place::Json(pointer) => Some(Place::Claim(pointer.clone())),
        _ => None,
    };
    let first_of = |pointers: &[&str]| {
        let there = pointers.iter().find(|pointer| text_at(payload, pointer).is_some())?;
        Pointer::parse(there).ok().map(Place::Claim)
    };
    let guessed = envelope::guess(question.head, payload, &body);
    let claims = |places: &[Place]| places.iter().filter_map(claim).collect::<Vec<_>>();
    let mut rule = EventRule {
        id: claims(&guessed.id),
        kind: claims(&guessed.kind),
        time: claims(&guessed.time),
    };
    if rule.id.is_empty() {
        rule.id.push(first_of(&IDS).unwrap_or(Place::BodySha256));
    }
    if rule.kind.is_empty() {
        rule.kind.extend(first_of(&KINDS));
    }
    vec![rule, bare]
}

/// What of the delivery looks like a token and cannot be one.
fn in_the_way(question: &PublishedQuestion<'_>, tokens: &[Carried]) -> Vec<String> {
    let mut why = Vec::new();
    if tokens.len() > 1 {
        why.push(format!("the delivery carries {} tokens, and none verifies", tokens.len()));
    }
    let body = std::str::from_utf8(question.body).unwrap_or_default().trim();
    if Token::parse(body).is_ok() {
        why.push(
            "the whole body is a token and no JSON: a source reads tokens from a header or from a \
             member of a JSON body, so this sender has to be verified in the receiver"
                .to_owned(),
        );
    }
    let is_encrypted = |text: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() == 5 && parts.first().is_some_and(|header| header.starts_with("eyJ"))
    };
    let words = telling_headers(question.head).flat_map(|(_, value)| value.split([' ', '=']));
    if words.chain([body]).any(is_encrypted) {
        why.push(
            "the delivery carries an encrypted token (JWE): only signed ones are read".to_owned(),
        );
    }
    why
}
