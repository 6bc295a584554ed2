//! Works out an unknown sender's scheme from one captured delivery and its secret.
//!
//! First it tries every preset. Then it compares everything in the request that could be a
//! signature with every text that could be signed, under every interpretation of the secret as a
//! key; each combination is hashed once and looked up. The result is written as the table that a
//! user would paste, read back as configuration, and checked by the code that checks live
//! deliveries: only a table that verifies the delivery is an answer.

mod candidates;
mod combinations;
mod envelope;
mod naming;
mod obstacles;
mod ranking;
mod table;
mod texts;
mod trial;

#[cfg(test)]
mod tests;

pub use obstacles::obstacles;
pub use table::Names;
pub(crate) use table::signature_changes;

pub(crate) use ranking::presets as presets_by_trust;
pub(crate) use trial::{fits, preset_source, source_of};

use crate::config::Config;
use crate::delivery::source::Source;
use crate::request::RequestHead;
use combinations::Hit;
use hookward_secret::{NamedSecret, Secret};
use hookward_verify::event::Event;
use hookward_verify::scheme::{Algorithm, EventRule, Part, Place, Scheme, SignatureRule, Template};
use hookward_verify::verify::verify;
use std::path::Path;
use table::Draft;
use trial::OneSecret;

/// A scheme that the captured request fits.
#[derive(Clone, Debug)]
pub struct Found {
    /// The preset that says all or part of it.
    pub preset: Option<&'static str>,
    /// The `[sources.NAME]` table that verifies the request, ready to paste; its secret is read from
    /// the environment. Routes are the reader's to add.
    pub table: String,
    /// The scheme that the table says.
    pub scheme: Scheme,
}

/// The scheme that `secret` made the request's signature under, as a table that uses `names`; `None`
/// if none of those that can be put together is it.
#[must_use]
pub fn discover(
    head: &RequestHead,
    body: &[u8],
    secret: &Secret,
    names: Names<'_>,
) -> Option<Found> {
    let secret = NamedSecret { label: "0".to_owned(), text: secret.clone() };
    Search { head, body, secret: &secret, names }.run()
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
    names: Names<'a>,
}

impl Search<'_> {
    fn run(&self) -> Option<Found> {
        // An envelope says more about who sends it than a header that many senders use.
        if envelope::is_webround(self.body) {
            return self.assembled().or_else(|| self.presets());
        }
        let preset = self.presets();
        if preset.as_ref().is_some_and(|found| ranking::is_strong(&found.scheme.signature)) {
            return preset;
        }
        // Beside what a preset takes there may be something stronger.
        match self.assembled() {
            Some(found) if preset.is_none() || ranking::is_strong(&found.scheme.signature) => {
                Some(found)
            }
            _ => preset,
        }
    }

    /// The best preset that verifies the signature and can read the event.
    fn presets(&self) -> Option<Found> {
        let urls = public_urls(self.head, None);
        ranking::presets().into_iter().find_map(|preset| {
            let mut source =
                preset_source(preset.name, &self.head.path, urls.first().map(String::as_str))?;
            let signs_url =
                source.sender.scheme.signature.signed.any(|part| matches!(part, Part::Url(_)));
            let holds = self.fits(&source)
                || signs_url
                    && urls.iter().any(|url| {
                        source.sender.public_url = Some(url.clone());
                        self.fits(&source)
                    });
            if !holds {
                return None;
            }
            let whole = Draft {
                path: &self.head.path,
                preset: Some(preset.name),
                public_url: source.sender.public_url.as_deref().filter(|_| signs_url),
                ..Draft::default()
            };
            // Senders who use a scheme that has a name call their events as they like.
            let guess = || {
                let signed = &source.sender.scheme.signature.signed;
                let event = envelope::guess(self.head, self.body, signed);
                self.proven(Draft { event: Some(&event), ..whole })
            };
            self.proven(whole).or_else(|| preset.about.generic.then(guess).flatten())
        })
    }

    fn fits(&self, source: &Source) -> bool {
        fits(source, std::slice::from_ref(self.secret), self.head, self.body)
    }

    /// The strongest scheme that can be put together, else a header that holds the secret itself.
    fn assembled(&self) -> Option<Found> {
        let hits = combinations::hits(self.head, self.body, self.secret);
        hits.iter().chain(&self.tokens()).find_map(|hit| self.assemble(hit))
    }

    fn assemble(&self, hit: &Hit) -> Option<Found> {
        let guess = envelope::guess(self.head, self.body, &hit.signature.signed);
        let bare = EventRule { id: vec![Place::BodySha256], ..EventRule::default() };
        let signature = Draft {
            path: &self.head.path,
            public_url: hit.public_url.as_deref(),
            signature: Some(&hit.signature),
            timestamp: hit.timestamp.as_ref(),
            ..Draft::default()
        };
        let webround = Draft { preset: Some("webround"), ..signature };
        envelope::is_webround(self.body)
            .then(|| self.proven(webround))
            .flatten()
            .or_else(|| self.proven(Draft { event: Some(&guess), ..signature }))
            .or_else(|| self.proven(Draft { event: Some(&bare), ..signature }))
    }

    /// The draft, if the request is genuine, and its event can be read, once the draft is a
    /// configuration.
    fn proven(&self, draft: Draft<'_>) -> Option<Found> {
        let table = draft.to_toml(self.names);
        let secret = OneSecret(&self.secret.text);
        let loaded = Config::parse(&table, "discovered.toml", Path::new(""), &secret);
        let source = loaded.ok()?.0.sources.into_iter().next()?;
        let genuine = verify(&source.sender, self.head.view(), self.body).ok()?;
        Event::read(&source.sender, self.head.view(), self.body, &genuine).ok()?;
        Some(Found { preset: draft.preset, table, scheme: source.sender.scheme })
    }

    /// Headers that hold the secret itself.
    fn tokens(&self) -> Vec<Hit> {
        let tokens = candidates::tokens(self.head).into_iter().map(|(place, prefix, encoding)| {
            let signature = SignatureRule {
                algorithm: Algorithm::Token,
                places: vec![place],
                prefix,
                encoding,
                signed: Template(vec![Part::Body]),
                ..combinations::unsigned().signature
            };
            Hit { signature, timestamp: None, public_url: None }
        });
        tokens.collect()
    }
}
