//! Presets whose senders publish their keys, tried as they are, with what the delivery says of its
//! receiver pinned.

use super::super::table::quote;
use super::proposal::Proposal;
use super::question::PublishedQuestion;
use super::tokens::{Carried, carried, pin_receiver};
use crate::senders::discover::found::FoundScheme;
use crate::senders::discover::ranking;
use hookward_verify::json::{Member, read_raw};
use hookward_verify::presets::Preset;
use hookward_verify::scheme::{Place, Pointer};
use serde_json::Value;

/// The best preset that verifies the delivery.
pub(super) fn find(question: &PublishedQuestion<'_>, why: &mut Vec<String>) -> Option<FoundScheme> {
    let tokens = carried(question.head, question.body);
    let all = ranking::presets().into_iter().filter(|preset| preset.has_published_keys());
    for preset in all {
        let Some(proposal) = propose(question, preset, &tokens) else { continue };
        let mut variants = vec![proposal];
        // A sender may still sign with what its preset has left behind.
        if preset.text_of("signature", "algorithm", "") == "rsa-sha256" {
            let mut weaker = variants.first().cloned().unwrap_or_default();
            weaker.state("algorithm", "rsa-sha1");
            variants.push(weaker);
        }
        for variant in variants {
            match question.proven(&variant) {
                Ok(found) => return Some(found),
                Err(what) => why.push(format!("preset `{}`: {what}", preset.name)),
            }
        }
    }
    None
}

/// The preset with the key at hand; `None` where the delivery has nothing of what it reads, or the key
/// is of a kind that it does not take.
fn propose(
    question: &PublishedQuestion<'_>,
    preset: &'static Preset,
    tokens: &[Carried],
) -> Option<Proposal> {
    let mut proposal = Proposal { preset: Some(preset.name), ..Proposal::default() };
    if preset.text_of("signature", "algorithm", "") == "jwt" {
        let place = place_of_token(preset)?;
        let token = tokens.iter().find(|token| token.place == place)?;
        let claims: Value = serde_json::from_slice(token.token.payload()).ok()?;
        proposal.secrets = secrets_of_token(question, preset)?;
        if preset.needs_root() {
            proposal.state("x5c_root", question.names.file);
        }
        pin_receiver(preset.texts_of("signature", "issuer").is_empty(), &claims, &mut proposal);
        pin_owner(preset, question.body, Some(&claims), &mut proposal);
        return Some(proposal);
    }
    let url = Place::parse(preset.fact("signature", "key_url")?.as_str()?).ok()?;
    if !question.key.is_certificate() || !is_there(question, &url) {
        return None;
    }
    if preset.needs_secret() {
        question.secret?;
        proposal.secrets = Some(question.names.with_key_in_variable().secrets());
    }
    pin_owner(preset, question.body, None, &mut proposal);
    Some(proposal)
}

/// Where a preset finds its token.
fn place_of_token(preset: &Preset) -> Option<Place> {
    match (preset.text_of("signature", "token_from", ""), preset.text_of("signature", "header", ""))
    {
        ("", "") => Some(Place::Header(http::header::AUTHORIZATION)),
        ("", header) => header.parse().ok().map(Place::Header),
        (place, _) => Place::parse(place).ok(),
    }
}

/// The `secrets` that hold the key at hand. The outer `None`: it is of a kind that does not fit; the
/// inner: the preset's own are good, or there are none.
#[expect(clippy::option_option, reason = "unfit and left out are two things; both are local")]
fn secrets_of_token(question: &PublishedQuestion<'_>, preset: &Preset) -> Option<Option<String>> {
    if preset.needs_root() {
        return question.key.is_certificate().then_some(None);
    }
    if question.key.is_public_key() {
        return Some(Some(question.names.secrets()));
    }
    question.key.set()?;
    Some(match (preset.scheme.contains_key("secrets"), example_secrets(preset)) {
        (true, _) => None,
        (false, Some(example)) => Some(example.to_owned()),
        (false, None) => {
            Some("[{ jwks = \"https://sender.example/.well-known/jwks.json\" }]".to_owned())
        }
    })
}

/// The list that the preset shows to its user.
fn example_secrets(preset: &Preset) -> Option<&str> {
    let (_, rest) = preset.about.secret.split_once("`secrets = ")?;
    Some(rest.split_once('`')?.0)
}

/// States whose events are wanted, as this one is.
fn pin_owner(preset: &Preset, body: &[u8], claims: Option<&Value>, proposal: &mut Proposal) {
    let pinned = preset.about.whose.iter().find_map(|name| {
        let pointer = format!("/{}", name.trim_start_matches('/'));
        let value = match claims {
            Some(claims) => claims.pointer(&pointer)?.as_str()?.to_owned(),
            None => text_in(body, &pointer)?,
        };
        let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = if is_bare { name.clone() } else { quote(name) };
        Some(format!("{{ {name} = {} }}", quote(&value)))
    });
    proposal.signature.extend(pinned.map(|claims| ("claims", claims)));
}

fn text_in(body: &[u8], pointer: &str) -> Option<String> {
    let pointer = Pointer::parse(pointer).ok()?;
    let raw = read_raw(body, &[&pointer]).ok()?.pop()??;
    Member::of(raw).text().map(str::to_owned)
}

fn is_there(question: &PublishedQuestion<'_>, place: &Place) -> bool {
    match place {
        Place::Header(name) => question.head.headers.contains(name),
        Place::Json(pointer) => text_in(question.body, &pointer.to_string()).is_some(),
        _ => false,
    }
}
