//! Presets: facts about senders as data, one file per sender.
//!
//! A preset file has the tables of a scheme (`signature`, `timestamp`, `event`, `handshake`), the keys
//! `respond_within`, `answers` and `dedupe_ttl` if they matter, and a table `[preset]` that says where
//! the facts come from. This module reads that table; [`Scheme::preset`](crate::Scheme::preset) reads
//! the scheme.
//!
//! ```
//! use hookward_verify::presets;
//!
//! let stripe = presets::named("stripe").expect("a preset");
//! assert_eq!(stripe.about.title, "Stripe");
//! assert!(presets::all().len() >= 80);
//! ```
//!
//! To add a sender, add its file and regenerate `docs/senders.md` (a test says how).

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../presets");

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let mut presets: Vec<Preset> = FILES
        .files()
        .filter_map(|file| {
            let name = file.path().file_name()?.to_str()?.strip_suffix(".toml")?;
            Preset::read(name, file.contents_utf8()?).ok()
        })
        .collect();
    presets.sort_unstable_by_key(|preset| preset.name);
    presets
});

/// One sender's built-in facts.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Its name in the configuration: kebab case.
    pub name: &'static str,
    /// The file as it is: TOML, the `[preset]` table included.
    pub text: &'static str,
    /// The `[preset]` table.
    pub about: About,
    /// The tables of the scheme, for display.
    pub scheme: toml::Table,
}

impl Preset {
    /// A header's name as the sender's documentation spells it, if the tables name it.
    #[must_use]
    pub fn spelling(&self, header: &str) -> Option<&'static str> {
        let (text, header) = (self.text, header.as_bytes());
        let is_edge =
            |byte: Option<&u8>| byte.is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'-');
        let at = text.as_bytes().windows(header.len()).enumerate().position(|(at, window)| {
            window.eq_ignore_ascii_case(header)
                && is_edge(at.checked_sub(1).and_then(|before| text.as_bytes().get(before)))
                && is_edge(text.as_bytes().get(at + header.len()))
        })?;
        text.get(at..at + header.len())
    }
}

/// The `[preset]` table: where the facts come from, and other facts for receivers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The sender's name as people write it.
    pub title: String,
    /// Public documentation that the facts come from.
    pub source: Vec<String>,
    /// How reliable the facts are.
    pub confidence: Confidence,
    /// How long after the first attempt the last retry may come; `None`: no retries, or not
    /// published.
    #[serde(default, deserialize_with = "duration")]
    pub retry_horizon: Option<Duration>,
    /// How long the sender waits for an answer; `None`: not published.
    #[serde(default, deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    /// The largest body that the sender makes, in bytes; `None`: not published.
    #[serde(default, deserialize_with = "size")]
    pub largest_body: Option<u64>,
    /// What the signature does not cover, in words.
    #[serde(default)]
    pub unsigned: Vec<String>,
    /// Where to find the secret, as a sentence.
    pub secret: String,
    /// The scheme has its own name and many senders use it; they have their own presets.
    #[serde(default)]
    pub generic: bool,
    /// One body can contain several events.
    #[serde(default)]
    pub batch: bool,
    /// A plausible body for `hookward send`: JSON, or a form if forms are signed.
    pub sample: String,
    /// Other headers that the sender's own library expects, for `hookward sign`; `{id}` and
    /// `{type}` are replaced by the event's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Members that say whose event it is, where everybody can have genuine ones; the source has to
    /// state one of them in `signature.claims`.
    #[serde(default)]
    pub whose: Vec<String>,
    /// Other notes.
    pub notes: Option<String>,
    /// Why `event.id` identifies one event, and is the same on each retry.
    pub event_id: EventIdFacts,
}

/// The `[preset.event_id]` table: the basis for the choice of the event id. An id of a resource, of
/// a subscription, of one attempt, or one that several events share would lose events or send them
/// twice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventIdFacts {
    /// What this id and similar ids identify, in a sentence or two.
    pub because: String,
    /// Public documentation or code that says so.
    pub source: String,
    /// How reliable this is.
    pub confidence: Confidence,
}

/// How reliable a preset's facts are, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The sender's own documentation, specification or test suite was read.
    Primary,
    /// A receiver's code or a quotation of the documentation was read.
    Secondary,
    /// An important point is not confirmed: test one real delivery first.
    Unconfirmed,
}

impl Confidence {
    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// What it means, in half a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Primary => "from the sender's own documentation or test suite",
            Self::Secondary => "from receivers' code or quotations of the documentation",
            Self::Unconfirmed => {
                "resting on memory or on sources that disagree: try it on one real delivery first"
            }
        }
    }
}

/// All presets, sorted by name.
pub fn all() -> impl ExactSizeIterator<Item = &'static Preset> {
    PRESETS.iter()
}

/// The preset of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Preset> {
    let index = PRESETS.binary_search_by(|preset| preset.name.cmp(name)).ok()?;
    PRESETS.get(index)
}

#[derive(Deserialize)]
struct File {
    preset: About,
    #[serde(flatten)]
    pub scheme: toml::Table,
}

impl Preset {
    fn read(name: &'static str, text: &'static str) -> Result<Self, toml::de::Error> {
        let file: File = toml::from_str(text)?;
        Ok(Self { name, text, about: file.preset, scheme: file.scheme })
    }

    /// The value of a key in a table of the scheme, if it is set.
    pub fn fact(&self, table: &str, key: &str) -> Option<&toml::Value> {
        self.scheme.get(table)?.get(key)
    }

    /// The text of a key in a table of the scheme, or the default.
    pub fn text_of(&self, table: &str, key: &str, default: &'static str) -> &str {
        self.fact(table, key).and_then(toml::Value::as_str).unwrap_or(default)
    }

    /// Whether a source needs its own secret or public key.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        let names_its_key =
            ["key_url", "x5c_markers"].into_iter().any(|key| self.fact("signature", key).is_some());
        let signs_secret = self.text_of("signature", "signed", "{body}").contains("{secret}");
        !self.scheme.contains_key("secrets") && (!names_its_key || signs_secret)
    }

    /// Whether its signatures are checked with keys that the sender publishes or sends along.
    #[must_use]
    pub fn has_published_keys(&self) -> bool {
        let is_shared = self.texts_of("signature", "jwt_algorithms") == ["HS256"];
        self.fact("signature", "key_url").is_some()
            || self.text_of("signature", "algorithm", "") == "jwt" && !is_shared
    }

    /// Whether the source names the one root that the chain of its tokens has to end at.
    #[must_use]
    pub fn needs_root(&self) -> bool {
        self.fact("signature", "x5c_markers").is_some()
    }

    /// One text or a list of them, as a list.
    pub fn texts_of(&self, table: &str, key: &str) -> Vec<&str> {
        match self.fact(table, key) {
            Some(toml::Value::String(one)) => vec![one],
            Some(toml::Value::Array(many)) => many.iter().filter_map(toml::Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Where the signature is, in words.
    pub fn signature_place(&self) -> String {
        let headers = self.texts_of("signature", "header");
        match (headers.as_slice(), self.texts_of("signature", "from").first()) {
            ([], None) => match self.text_of("signature", "token_from", "") {
                "" if self.text_of("signature", "algorithm", "") == "jwt" => {
                    "Authorization".to_owned()
                }
                "" => "not published".to_owned(),
                place => place.to_owned(),
            },
            ([], Some(place)) => (*place).to_owned(),
            ([one], _) => (*one).to_owned(),
            ([first, rest @ ..], _) => format!("{first} (+{})", rest.len()),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value)?;
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(value)?;
    let size = text.parse::<bytesize::ByteSize>().map_err(serde::de::Error::custom)?;
    Ok(Some(size.as_u64()))
}

#[cfg(test)]
mod tests;
