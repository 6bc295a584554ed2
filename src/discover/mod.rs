//! An unknown sender's scheme, found out from one captured delivery and its secret.
//!
//! First every preset is tried as it is. Then everything in the request that could be a signature
//! is set against every text that could be signed, under every reading of the secret as a key; each
//! combination is hashed once and looked up. What is found is checked by the code that will verify
//! deliveries, so a table that is printed does verify the one it came from.

mod candidates;
mod envelope;
mod naming;
mod table;
mod texts;
mod trial;

#[cfg(test)]
mod tests;

pub(crate) use trial::{fits, preset_source, source_of};

use crate::event::Event;
use crate::presets;
use crate::request::RequestHead;
use crate::scheme::{
    Algorithm, EventRule, KeyForm, Part, Scheme, SignatureRule, Template, TimestampRule,
};
use crate::secret::{NamedSecret, Secret};
use crate::source::Source;
use crate::verify::{Inputs, Key};
use candidates::{Candidate, Time};
use std::time::Duration;

/// A scheme that the captured request fits.
#[derive(Clone, Debug)]
pub struct Found {
    /// The preset that says all or part of it.
    pub preset: Option<&'static str>,
    /// The scheme.
    pub scheme: Scheme,
    /// The URL that is part of the signed text, if one is.
    pub public_url: Option<String>,
    path: String,
}

/// The scheme that `secret` made the request's signature under; `None` if none of those that
/// can be put together is it.
#[must_use]
pub fn discover(head: &RequestHead, body: &[u8], secret: &Secret) -> Option<Found> {
    let secret = NamedSecret { label: "0".to_owned(), text: secret.clone() };
    let search = Search { head, body, secret: &secret };
    search.presets().or_else(|| search.combinations()).or_else(|| search.token())
}

/// URLs that the sender may have been given: `own` and its usual misspellings, then what the request
/// itself says.
pub(crate) fn public_urls(head: &RequestHead, own: Option<&str>) -> Vec<String> {
    let forwarded = head.headers.get("x-forwarded-host").and_then(|host| host.to_str().ok());
    let hosts = forwarded.into_iter().chain([head.host.as_str()]).filter(|host| !host.is_empty());
    let mut urls: Vec<String> = own.map(str::to_owned).into_iter().collect();
    urls.extend(hosts.map(|host| format!("https://{host}{}", head.path)));
    for url in urls.clone() {
        let Some((_, rest)) = url.split_once("://") else { continue };
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let www = host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned);
        let paths = [path, path.trim_end_matches('/'), &format!("{path}/"), &head.path, "/", ""]
            .map(str::to_owned);
        let hosts = [
            host.to_owned(),
            bare.to_owned(),
            format!("{bare}:443"),
            format!("{bare}:80"),
            format!("{bare}:8443"),
            format!("{bare}:8080"),
            www,
        ];
        for path in &paths {
            for host in &hosts {
                urls.extend(["https", "http"].map(|scheme| format!("{scheme}://{host}{path}")));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls
}

struct Search<'a> {
    head: &'a RequestHead,
    body: &'a [u8],
    secret: &'a NamedSecret,
}

impl Search<'_> {
    fn fits(&self, source: &Source) -> bool {
        fits(source, std::slice::from_ref(self.secret), self.head, self.body)
    }

    fn found(&self, preset: Option<&'static str>, source: Source) -> Found {
        let signs_url = source.scheme.signature.signed.any(|part| *part == Part::Url);
        Found {
            preset,
            public_url: source.public_url.filter(|_| signs_url),
            scheme: source.scheme,
            path: self.head.path.clone(),
        }
    }

    /// The first preset whose signature holds and whose event can be read.
    fn presets(&self) -> Option<Found> {
        let urls = public_urls(self.head, None);
        presets::all().find_map(|preset| {
            let mut source =
                preset_source(preset.name, &self.head.path, urls.first().map(String::as_str))?;
            let signs_url = source.scheme.signature.signed.any(|part| *part == Part::Url);
            let holds = self.fits(&source)
                || signs_url
                    && urls.iter().any(|url| {
                        source.public_url = Some(url.clone());
                        self.fits(&source)
                    });
            let event = || Event::read_unproven(&source, self.head, self.body, None);
            (holds && event().is_ok()).then(|| self.found(Some(preset.name), source))
        })
    }

    /// Everything that could be a signature against everything that could be signed.
    fn combinations(&self) -> Option<Found> {
        let candidates = candidates::signatures(self.head, self.body);
        let times = candidates::times(self.head);
        let keys = self.keys(&candidates);
        if keys.is_empty() {
            return None;
        }
        for url in candidates::urls(self.head) {
            let empty = scheme_of(SignatureRule {
                algorithm: Algorithm::HmacSha256,
                places: Vec::new(),
                separator: None,
                prefix: String::new(),
                prefix_optional: false,
                encoding: crate::scheme::Encoding::Hex,
                signed: Template(Vec::new()),
                key: KeyForm::Text,
                key_prefix: String::new(),
                require: Vec::new(),
            });
            let mut source = source_of(empty, &self.head.path, url);
            let with_url = source.public_url.is_some();
            for text in texts::all(self.head, self.body, &times, with_url) {
                source.scheme.signature.signed = text.template;
                let Some((candidate, key)) = self.look_up(&source, text.time, &keys, &candidates)
                else {
                    continue;
                };
                let scheme = self.complete(&source, candidate, key, text.time);
                let found = source_of(scheme, &self.head.path, source.public_url.clone());
                if self.fits(&found) {
                    let preset = envelope::is_webround(self.body).then_some("webround");
                    return Some(self.found(preset, found));
                }
            }
        }
        None
    }

    /// Every reading of the secret as a key of an algorithm that some candidate is as long as.
    fn keys(&self, candidates: &[Candidate]) -> Vec<(SignatureRule, Key)> {
        let mut keys: Vec<(SignatureRule, Key)> = Vec::new();
        let cut = std::str::from_utf8(self.secret.text.expose())
            .ok()
            .and_then(|text| Some(text.split_once('_')?.0))
            .filter(|prefix| (2..=8).contains(&prefix.len()))
            .map(|prefix| format!("{prefix}_"));
        for (_, algorithm) in Algorithm::NAMES {
            let is_wanted = |candidate: &Candidate| match algorithm.signature_len() {
                Some(len) => candidate.bytes.len() == len,
                None => p256::ecdsa::Signature::from_der(&candidate.bytes).is_ok(),
            };
            if algorithm == Algorithm::Token || !candidates.iter().any(is_wanted) {
                continue;
            }
            for (_, form) in KeyForm::NAMES {
                for prefix in [None, cut.as_deref()].into_iter().flatten().chain([""]) {
                    let rule = SignatureRule {
                        algorithm,
                        places: Vec::new(),
                        separator: None,
                        prefix: String::new(),
                        prefix_optional: false,
                        encoding: crate::scheme::Encoding::Hex,
                        signed: Template(Vec::new()),
                        key: form,
                        key_prefix: prefix.to_owned(),
                        require: Vec::new(),
                    };
                    if let Ok(key) = Key::new(self.secret, &rule) {
                        keys.push((rule, key));
                    }
                }
            }
        }
        // The plain text first: it is what most senders mean.
        keys.sort_by_key(|(rule, _)| (rule.key != KeyForm::Text, !rule.key_prefix.is_empty()));
        keys
    }

    /// The candidate that one of the keys made from the source's signed text.
    fn look_up<'c>(
        &self,
        source: &Source,
        time: Option<&Time>,
        keys: &'c [(SignatureRule, Key)],
        candidates: &'c [Candidate],
    ) -> Option<(&'c Candidate, &'c SignatureRule)> {
        let inputs = Inputs::whole(source, self.head, self.body).ok()?;
        let pieces = inputs.pieces(time.map(|time| time.text.as_str())).ok()?;
        let names_secret = source.scheme.signature.signed.any(|part| *part == Part::Secret);
        keys.iter().find_map(|(rule, key)| {
            if matches!(rule.algorithm, Algorithm::Sha256 | Algorithm::Sha1) != names_secret {
                return None;
            }
            let signed = key.signed(None, &pieces, self.body);
            let candidate = candidates.iter().find(|c| signed.matches(&c.bytes))?;
            Some((candidate, rule))
        })
    }

    fn complete(
        &self,
        source: &Source,
        candidate: &Candidate,
        key: &SignatureRule,
        time: Option<&Time>,
    ) -> Scheme {
        let signed = source.scheme.signature.signed.clone();
        let event = envelope::guess(self.head, self.body, &signed);
        Scheme {
            signature: SignatureRule {
                places: vec![candidate.place.clone()],
                separator: candidate.separator.clone(),
                prefix: candidate.prefix.clone(),
                encoding: candidate.encoding,
                signed,
                ..key.clone()
            },
            timestamp: time.map(|time| TimestampRule {
                from: time.from.clone(),
                format: time.format,
                max_age: Some(Duration::from_mins(5)),
                max_ahead: Duration::from_mins(1),
            }),
            event,
            handshake: None,
        }
    }

    /// A header that holds the secret itself.
    fn token(&self) -> Option<Found> {
        candidates::tokens(self.head).into_iter().find_map(|(place, prefix, encoding)| {
            let rule = SignatureRule {
                algorithm: Algorithm::Token,
                places: vec![place],
                separator: None,
                prefix,
                prefix_optional: false,
                encoding,
                signed: Template(vec![Part::Body]),
                key: KeyForm::Text,
                key_prefix: String::new(),
                require: Vec::new(),
            };
            let event = envelope::guess(self.head, self.body, &rule.signed);
            let source = source_of(Scheme { event, ..scheme_of(rule) }, &self.head.path, None);
            self.fits(&source).then(|| self.found(None, source))
        })
    }
}

fn scheme_of(signature: SignatureRule) -> Scheme {
    Scheme { signature, timestamp: None, event: EventRule::default(), handshake: None }
}
