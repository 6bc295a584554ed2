//! The common mistakes, tried one after another on a request whose signature does not match.
//!
//! A mistake is named only if the signature *does* match once the mistake is undone, so a name is a
//! proof and never a guess. The simplest is tried first. Nothing here prints a secret or a computed
//! signature.

use super::rewritten;
use crate::delivery::source::Source;
use crate::field_lines::plain;
use crate::request::RequestHead;
use crate::senders::discover::{self, MemberNames, fits, preset_source, source_of};
use hookward_secret::{NamedSecret, Secret};
use hookward_time::UnixMillis;
use hookward_verify::event::Event;
use hookward_verify::scheme::{
    Algorithm, Encoding, KeyForm, Part, Place, Scheme, TimeFormat, TimestampRule,
};
use hookward_verify::verify::freshness::{judge, parse_time};

/// A mistake that explains a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its name; always the same words.
    pub name: &'static str,
    /// What happened and what to do, in a sentence or two.
    pub text: String,
}

fn mistake(name: &'static str, text: impl Into<String>) -> Mistake {
    Mistake { name, text: text.into() }
}

/// What is tried.
pub(super) struct Case<'a> {
    pub(super) source: &'a Source,
    /// Every source of the configuration, for their secrets.
    pub(super) all: &'a [&'a Source],
    pub(super) head: &'a RequestHead,
    pub(super) body: &'a [u8],
}

impl Case<'_> {
    /// The first mistake that, undone, makes the signature hold.
    pub(super) fn find(&self) -> Option<Mistake> {
        self.rewritten_body()
            .or_else(|| self.other_key())
            .or_else(|| self.other_secret())
            .or_else(|| self.other_encoding())
            .or_else(|| self.no_prefix())
            .or_else(|| self.other_prefix())
            .or_else(|| self.other_header())
            .or_else(|| self.other_url())
            .or_else(|| self.other_preset())
            .or_else(|| self.other_scheme())
    }

    fn holds(&self, scheme: Scheme, secrets: &[NamedSecret]) -> bool {
        let url = self.source.sender.public_url.clone();
        fits(&source_of(scheme, &self.source.path, url), secrets, self.head, self.body)
    }

    fn scheme(&self) -> Scheme {
        self.source.sender.scheme.clone()
    }

    fn rewritten_body(&self) -> Option<Mistake> {
        let secrets = &self.source.sender.secrets;
        rewritten::guesses(self.body)
            .find(|guess| fits(self.source, secrets, self.head, &guess.body))
            .map(|guess| mistake(guess.name, format!("{}.", guess.text)))
    }

    fn no_prefix(&self) -> Option<Mistake> {
        let mut scheme = self.scheme();
        let prefix = std::mem::take(&mut scheme.signature.prefix);
        (!prefix.is_empty() && self.holds(scheme, &self.source.sender.secrets)).then(|| {
            let text = format!(
                "The signature is correct, but `{prefix}` before it is missing. If this sender \
                 omits it, set `prefix_optional = true`."
            );
            mistake("a prefix that is missing", text)
        })
    }

    fn other_prefix(&self) -> Option<Mistake> {
        let rule = &self.source.sender.scheme.signature;
        let values = rule.places.iter().filter_map(|place| match place {
            Place::Header(name) => Some(self.head.headers.get_all(name)),
            _ => None,
        });
        let texts = values.flatten().filter_map(plain);
        let items = texts.flat_map(|text| match rule.separator.as_deref() {
            Some(separator) => text.split(separator).map(str::trim).collect::<Vec<_>>(),
            None => vec![text],
        });
        items.into_iter().find_map(|item| {
            let (at, sign) = item.char_indices().find(|(_, c)| matches!(c, '=' | ' ' | ':'))?;
            let prefix = item.get(..at + sign.len_utf8())?;
            let mut scheme = self.scheme();
            prefix.clone_into(&mut scheme.signature.prefix);
            (prefix != rule.prefix && self.holds(scheme, &self.source.sender.secrets)).then(|| {
                let text = format!(
                    "The signature is correct, but comes after `{prefix}` instead of `{}`: set \
                     `prefix = \"{prefix}\"`.",
                    rule.prefix
                );
                mistake("another prefix", text)
            })
        })
    }

    fn other_header(&self) -> Option<Mistake> {
        let places = &self.source.sender.scheme.signature.places;
        self.head.headers.names().into_iter().find_map(|name| {
            let place = Place::Header(name.clone());
            let mut scheme = self.scheme();
            scheme.signature.places = vec![place.clone()];
            (!places.contains(&place) && self.holds(scheme, &self.source.sender.secrets)).then(
                || {
                    let text = format!(
                        "The signature is in the header `{name}`: set `header = \"{name}\"`."
                    );
                    mistake("another header", text)
                },
            )
        })
    }

    fn other_key(&self) -> Option<Mistake> {
        const NAME: &str = "another key decoding";
        let rule = &self.source.sender.scheme.signature;
        let prefixes = ["", rule.key_prefix.as_str(), "whsec_", "whpk_"];
        for (form_name, form) in KeyForm::NAMES {
            for prefix in prefixes {
                let mut scheme = self.scheme();
                scheme.signature.key = form;
                prefix.clone_into(&mut scheme.signature.key_prefix);
                if (form, prefix) != (rule.key, &rule.key_prefix)
                    && self.holds(scheme, &self.source.sender.secrets)
                {
                    let cut = match prefix {
                        "" => "nothing removed".to_owned(),
                        prefix => format!("`{prefix}` removed"),
                    };
                    return Some(mistake(
                        NAME,
                        format!(
                            "The secret is the key as `{form_name}`, with {cut}: set `key = \
                             \"{form_name}\"` and `key_prefix = \"{prefix}\"`."
                        ),
                    ));
                }
            }
        }
        for (what, change) in EDITS {
            let edited: Vec<_> = self
                .source
                .sender
                .secrets
                .iter()
                .filter_map(|secret| {
                    let text = change(secret.text.expose())?;
                    Some(NamedSecret { label: secret.label.clone(), text: Secret::new(text) })
                })
                .collect();
            if self.holds(self.scheme(), &edited) {
                return Some(mistake(
                    "a mistyped secret",
                    format!("The configured secret {what}."),
                ));
            }
        }
        None
    }

    fn other_secret(&self) -> Option<Mistake> {
        let others = self.all.iter().filter(|other| other.name != self.source.name);
        for other in others {
            for secret in &other.sender.secrets {
                if self.holds(self.scheme(), std::slice::from_ref(secret)) {
                    let (name, label) = (&other.name, &secret.label);
                    return Some(mistake(
                        "another configured secret",
                        format!(
                            "It is signed with the secret `{label}` of the source `{name}`: add it \
                             to this source's `secrets`, or correct the URL at the sender."
                        ),
                    ));
                }
            }
        }
        None
    }

    fn other_encoding(&self) -> Option<Mistake> {
        for (encoding_name, encoding) in Encoding::NAMES {
            let mut scheme = self.scheme();
            scheme.signature.encoding = encoding;
            if encoding != self.source.sender.scheme.signature.encoding
                && scheme.signature.algorithm != Algorithm::Token
                && self.holds(scheme, &self.source.sender.secrets)
            {
                return Some(mistake(
                    "another encoding",
                    format!(
                        "The signature is encoded as {encoding_name}: set `encoding = \
                         \"{encoding_name}\"`."
                    ),
                ));
            }
        }
        for (algorithm_name, algorithm) in Algorithm::NAMES {
            let mut scheme = self.scheme();
            scheme.signature.algorithm = algorithm;
            if algorithm != self.source.sender.scheme.signature.algorithm
                && !matches!(
                    algorithm,
                    Algorithm::Token | Algorithm::Jwt | Algorithm::HttpMessageSignatures
                )
                && self.holds(scheme, &self.source.sender.secrets)
            {
                return Some(mistake(
                    "another algorithm",
                    format!(
                        "It is signed with {algorithm_name}: set `algorithm = \"{algorithm_name}\"`."
                    ),
                ));
            }
        }
        None
    }

    fn other_url(&self) -> Option<Mistake> {
        let rule = &self.source.sender.scheme.signature;
        if !rule.signed.any(|part| matches!(part, Part::Url(_))) {
            return None;
        }
        let own = self.source.sender.public_url.as_deref();
        for url in discover::public_urls(self.head, own) {
            let source = source_of(self.scheme(), &self.source.path, Some(url.clone()));
            if own != Some(&url) && fits(&source, &self.source.sender.secrets, self.head, self.body)
            {
                return Some(mistake(
                    "the wrong public URL",
                    format!("The sender signs the URL `{url}`: set it as `public_url`."),
                ));
            }
        }
        None
    }

    /// The best preset that fits; rather one that can read the event, too.
    fn other_preset(&self) -> Option<Mistake> {
        let own = self.source.sender.preset.as_deref();
        let url = self.source.sender.public_url.as_deref();
        let fitting: Vec<_> = discover::presets_by_trust()
            .into_iter()
            .filter(|preset| Some(preset.name) != own)
            .filter_map(|preset| {
                let source = preset_source(preset.name, &self.source.path, url)?;
                fits(&source, &self.source.sender.secrets, self.head, self.body)
                    .then_some((preset, source))
            })
            .collect();
        let reads_event = |source: &Source| {
            Event::read_unproven(&source.sender, self.head.view(), self.body, None).is_ok()
        };
        let best = fitting.iter().find(|(_, source)| reads_event(source));
        let (preset, _) = best.or_else(|| fitting.first())?;
        let name = preset.name;
        let instead = match own {
            Some(own) => format!("instead of `{own}`"),
            None => "and remove the source's own scheme".to_owned(),
        };
        let text =
            format!("The request fits the preset `{name}`: set `preset = \"{name}\"` {instead}.");
        Some(mistake("another preset", text))
    }

    fn other_scheme(&self) -> Option<Mistake> {
        self.source.sender.secrets.iter().find_map(|secret| {
            let names = MemberNames::of_secret(self.source.name.as_str(), "SECRET");
            let found = discover::discover(self.head, self.body, &secret.text, names)?;
            if let Some(changes) = self.changes(&found.scheme) {
                return Some(mistake("another scheme", changes));
            }
            let table = found.table;
            Some(mistake(
                "another scheme",
                format!(
                    "The request fits this scheme instead. Replace `SECRET` with the variable \
                     that contains the secret; the routes do not change:\n{table}"
                ),
            ))
        })
    }
}

impl Case<'_> {
    /// The keys that have to change for the request to fit, if what the source says of its time and
    /// its events can stay.
    fn changes(&self, found: &Scheme) -> Option<String> {
        let mut scheme = self.scheme();
        scheme.signature = found.signature.clone();
        scheme.signature.require.clone_from(&self.source.sender.scheme.signature.require);
        let is_timed = scheme.timestamp.is_some() || found.timestamp.is_none();
        if !is_timed || !self.holds(scheme, &self.source.sender.secrets) {
            return None;
        }
        let own = &self.source.sender.scheme.signature;
        let keys = discover::signature_changes(own, &found.signature);
        (!keys.is_empty()).then(|| {
            format!(
                "The request fits with these keys in [sources.{}.signature]; everything else does \
                 not change as it is, `preset` and `timestamp` too:\n{}",
                self.source.name,
                keys.join("\n")
            )
        })
    }
}

type Edit = fn(&[u8]) -> Option<Vec<u8>>;

/// What happens to secrets on the way into a configuration.
const EDITS: [(&str, Edit); 4] = [
    ("has spaces around it that are not part of the key", |text| {
        let trimmed = text.trim_ascii();
        (trimmed.len() < text.len()).then(|| trimmed.to_vec())
    }),
    ("lacks the line end that is part of the key", |text| Some([text, b"\n"].concat())),
    ("is in quotes that are not part of the key", |text| {
        let inner = |quote: &[u8]| text.strip_prefix(quote)?.strip_suffix(quote);
        inner(b"\"").or_else(|| inner(b"'")).map(<[u8]>::to_vec)
    }),
    ("is HTML-escaped, but the key is not", |text| {
        let plain = std::str::from_utf8(text).ok()?;
        let decoded = plain
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&#039;", "'")
            .replace("&amp;", "&");
        (decoded != plain).then(|| decoded.into_bytes())
    }),
];

/// A timestamp that is fresh once it is read in another format.
pub(super) fn other_time_format(
    rule: &TimestampRule,
    text: &str,
    at: UnixMillis,
) -> Option<Mistake> {
    TimeFormat::NAMES.into_iter().find_map(|(name, format)| {
        let sent = parse_time(format, text).filter(|_| format != rule.format)?;
        judge(rule, sent, at).ok()?;
        Some(mistake(
            "another time format",
            format!(
                "Read as {name} instead of {}, the time is {}: set `format = \"{name}\"`.",
                rule.format,
                sent.to_rfc3339()
            ),
        ))
    })
}
