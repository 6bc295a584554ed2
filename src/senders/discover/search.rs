//! Every preset as it is, then everything that could be a signature against everything that could be
//! signed.

use super::combinations::{self, Hit};
use super::found::FoundScheme;
use super::table::{MemberNames, SchemeDraft};
use super::trial::{OneSecret, fits, preset_source};
use super::urls::public_urls;
use super::{candidates, envelope, ranking};
use crate::config::Config;
use crate::delivery::source::Source;
use crate::request::RequestHead;
use hookward_secret::{NamedSecret, Secret};
use hookward_verify::event::Event;
use hookward_verify::scheme::{Algorithm, EventRule, Part, Place, SignatureRule, Template};
use hookward_verify::verify::verify;
use std::path::Path;

/// What a key pair made of which `key` is the public PEM; tokens and signatures of RFC 9421 apart.
pub(super) fn with_public_key(
    head: &RequestHead,
    body: &[u8],
    key: &[u8],
    names: MemberNames<'_>,
) -> Option<FoundScheme> {
    let key = NamedSecret { label: "0".to_owned(), text: Secret::new(key.to_vec()) };
    Search { head, body, secret: &key, names }.run()
}

/// The search for what a secret signed.
pub(super) struct Search<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) body: &'a [u8],
    pub(super) secret: &'a NamedSecret,
    pub(super) names: MemberNames<'a>,
}

impl Search<'_> {
    /// What fits, the better known before the assembled.
    pub(super) fn run(&self) -> Option<FoundScheme> {
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
    fn presets(&self) -> Option<FoundScheme> {
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
            let whole = SchemeDraft {
                path: &self.head.path,
                preset: Some(preset.name),
                public_url: source.sender.public_url.as_deref().filter(|_| signs_url),
                ..SchemeDraft::default()
            };
            // Senders who use a scheme that has a name call their events as they like.
            let guess = || {
                let signed = &source.sender.scheme.signature.signed;
                let event = envelope::guess(self.head, self.body, signed);
                self.proven(SchemeDraft { event: Some(&event), ..whole })
            };
            self.proven(whole).or_else(|| preset.about.generic.then(guess).flatten())
        })
    }

    fn fits(&self, source: &Source) -> bool {
        fits(source, std::slice::from_ref(self.secret), self.head, self.body)
    }

    /// The strongest scheme that can be put together, else a header that holds the secret itself.
    fn assembled(&self) -> Option<FoundScheme> {
        let hits = combinations::hits(self.head, self.body, self.secret);
        hits.iter().chain(&self.tokens()).find_map(|hit| self.assemble(hit))
    }

    fn assemble(&self, hit: &Hit) -> Option<FoundScheme> {
        let guess = envelope::guess(self.head, self.body, &hit.signature.signed);
        let bare = EventRule { id: vec![Place::BodySha256], ..EventRule::default() };
        let signature = SchemeDraft {
            path: &self.head.path,
            public_url: hit.public_url.as_deref(),
            signature: Some(&hit.signature),
            timestamp: hit.timestamp.as_ref(),
            ..SchemeDraft::default()
        };
        let webround = SchemeDraft { preset: Some("webround"), ..signature };
        envelope::is_webround(self.body)
            .then(|| self.proven(webround))
            .flatten()
            .or_else(|| self.proven(SchemeDraft { event: Some(&guess), ..signature }))
            .or_else(|| self.proven(SchemeDraft { event: Some(&bare), ..signature }))
    }

    /// The draft, if the request is genuine, and its event can be read, once the draft is a
    /// configuration.
    fn proven(&self, draft: SchemeDraft<'_>) -> Option<FoundScheme> {
        let table = draft.to_toml(self.names);
        let secret = OneSecret(&self.secret.text);
        let loaded = Config::parse(&table, "discovered.toml", Path::new(""), &secret);
        let source = loaded.ok()?.0.sources.into_iter().next()?;
        let genuine = verify(&source.sender, self.head.view(), self.body).ok()?;
        Event::read(&source.sender, self.head.view(), self.body, &genuine).ok()?;
        Some(FoundScheme { preset: draft.preset, table, scheme: source.sender.scheme })
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
