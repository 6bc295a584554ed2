//! Compares everything that could be a signature with everything that could be signed.

use super::candidates::{self, Candidate, Time};
use super::{ranking, source_of, texts};
use crate::delivery::source::Source;
use crate::request::RequestHead;
use hookward_secret::NamedSecret;
use hookward_verify::keys::Key;
use hookward_verify::scheme::{
    Algorithm, Encoding, EventRule, KeyForm, Part, Scheme, SignatureRule, Template, TimestampRule,
};
use hookward_verify::verify::SignedText;
use std::cmp::Reverse;
use std::time::Duration;

/// A signature that the secret made, as the rules that read it.
pub(super) struct Hit {
    pub(super) signature: SignatureRule,
    /// Where the time in the signed text comes from.
    pub(super) timestamp: Option<TimestampRule>,
    /// The URL that is part of the signed text.
    pub(super) public_url: Option<String>,
}

/// Every signature of the request that `secret` made, the best first.
pub(super) fn hits(head: &RequestHead, body: &[u8], secret: &NamedSecret) -> Vec<Hit> {
    let mut open = candidates::signatures(head, body);
    let times = candidates::times(head);
    let keys = keys(secret, &open);
    let mut hits = Vec::new();
    for url in candidates::urls(head) {
        let with_url = url.is_some();
        let mut source = source_of(unsigned(), &head.path, url);
        for text in texts::all(head, body, &times, with_url) {
            source.sender.scheme.signature.signed = text.template;
            while let Some((rule, bytes)) = look_up(&source, head, body, text.time, &keys, &open) {
                let of_these = open.iter().filter(|candidate| candidate.bytes == bytes);
                hits.extend(of_these.map(|candidate| hit(&source, candidate, rule, text.time)));
                // A sender may sign twice, and only one of the two well.
                open.retain(|candidate| candidate.bytes != bytes);
            }
            if open.is_empty() {
                break;
            }
        }
    }
    hits.sort_by_key(|hit| Reverse(ranking::worth(&hit.signature)));
    hits
}

/// Every reading of the secret as a key of an algorithm that some candidate is as long as.
fn keys(secret: &NamedSecret, candidates: &[Candidate]) -> Vec<(SignatureRule, Key)> {
    let mut keys: Vec<(SignatureRule, Key)> = Vec::new();
    let cut = std::str::from_utf8(secret.text.expose())
        .ok()
        .and_then(|text| Some(text.split_once('_')?.0))
        .filter(|prefix| (2..=8).contains(&prefix.len()))
        .map(|prefix| format!("{prefix}_"));
    for (_, algorithm) in Algorithm::NAMES {
        let is_wanted = |candidate: &Candidate| match algorithm.signature_len() {
            Some(len) => candidate.bytes.len() == len,
            None => match algorithm {
                // Of a key of 2,048 bits or more.
                Algorithm::RsaSha1 | Algorithm::RsaSha256 => candidate.bytes.len() >= 256,
                _ => p256::ecdsa::Signature::from_der(&candidate.bytes).is_ok(),
            },
        };
        if matches!(algorithm, Algorithm::Token | Algorithm::Jwt | Algorithm::HttpMessageSignatures)
            || !candidates.iter().any(is_wanted)
        {
            continue;
        }
        for (_, form) in KeyForm::NAMES {
            for prefix in [None, cut.as_deref()].into_iter().flatten().chain([""]) {
                let rule = SignatureRule {
                    algorithm,
                    key: form,
                    key_prefix: prefix.to_owned(),
                    ..unsigned().signature
                };
                if let Ok(key) = Key::new(secret, &rule) {
                    keys.push((rule, key));
                }
            }
        }
    }
    // The plain text first: it is what most senders mean.
    keys.sort_by_key(|(rule, _)| (rule.key != KeyForm::Text, !rule.key_prefix.is_empty()));
    keys
}

/// The signature among `open` that one of the keys made from the source's signed text.
fn look_up<'k>(
    source: &Source,
    head: &RequestHead,
    body: &[u8],
    time: Option<&Time>,
    keys: &'k [(SignatureRule, Key)],
    open: &[Candidate],
) -> Option<(&'k SignatureRule, Vec<u8>)> {
    let time = time.map(|time| time.text.as_str());
    let text = SignedText::with_timestamp(&source.sender, head.view(), body, time).ok()?;
    let names_secret = source.sender.scheme.signature.signed.any(|part| *part == Part::Secret);
    keys.iter().find_map(|(rule, key)| {
        if matches!(rule.algorithm, Algorithm::Sha256 | Algorithm::Sha1) != names_secret {
            return None;
        }
        let candidates = open.iter().map(|candidate| candidate.bytes.as_slice());
        Some((rule, text.find_signature(key, rule, candidates)?.to_vec()))
    })
}

fn hit(source: &Source, candidate: &Candidate, rule: &SignatureRule, time: Option<&Time>) -> Hit {
    Hit {
        signature: SignatureRule {
            places: vec![candidate.place.clone()],
            separator: candidate.separator.clone(),
            prefix: candidate.prefix.clone(),
            encoding: candidate.encoding,
            signed: source.sender.scheme.signature.signed.clone(),
            ..rule.clone()
        },
        timestamp: time.map(|time| TimestampRule {
            from: time.from.clone(),
            format: time.format,
            max_age: Some(Duration::from_mins(5)),
            max_ahead: Duration::from_mins(1),
        }),
        public_url: source.sender.public_url.clone(),
    }
}

/// A scheme that says nothing yet.
pub(super) fn unsigned() -> Scheme {
    let signature = SignatureRule {
        algorithm: Algorithm::HmacSha256,
        places: Vec::new(),
        separator: None,
        prefix: String::new(),
        prefix_optional: false,
        encoding: Encoding::Hex,
        signed: Template(Vec::new()),
        key: KeyForm::Text,
        key_prefix: String::new(),
        require: Vec::new(),
        fallback: None,
        token: hookward_verify::scheme::TokenRule::default(),
        certificate: None,
        components: Vec::new(),
        claims: Vec::new(),
    };
    Scheme { signature, timestamp: None, event: EventRule::default(), handshake: None }
}
