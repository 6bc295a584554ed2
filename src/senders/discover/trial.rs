//! Temporary sources for trying whether a captured request fits them.

use crate::config::{Config, SecretReader};
use crate::delivery::source::Source;
use crate::request::RequestHead;
use hookward_secret::{NamedSecret, Secret};
use hookward_settings::NoSecrets;
use hookward_verify::presets;
use hookward_verify::scheme::Scheme;
use hookward_verify::sender::Sender;
use hookward_verify::verify::verify;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A source that has a scheme and a URL and nothing else.
pub(crate) fn source_of(scheme: Scheme, path: &str, public_url: Option<String>) -> Source {
    let sender =
        Sender { public_url, ..Sender::without_secrets(scheme, "the secrets are tried in turn") };
    Source::new("trial", path.to_owned(), sender, Duration::from_hours(96))
}

/// Whether one of these secrets made the request's signature under the source's scheme.
pub(crate) fn fits(
    source: &Source,
    secrets: &[NamedSecret],
    head: &RequestHead,
    body: &[u8],
) -> bool {
    // Tried one by one: an invalid key for this scheme says nothing about the others.
    secrets.iter().any(|secret| {
        let (scheme, url) = (source.sender.scheme.clone(), source.sender.public_url.clone());
        Sender::new(scheme, [secret.text.clone()]).is_ok_and(|sender| {
            let sender = Sender { public_url: url, ..sender };
            verify(&sender, head.view(), body).is_ok()
        })
    })
}

/// The source that a preset defines; `None` if the preset needs more settings.
pub(crate) fn preset_source(preset: &str, path: &str, public_url: Option<&str>) -> Option<Source> {
    let quote = |text: &str| toml::Value::from(text).to_string();
    let url = public_url.map(|url| format!("public_url = {}\n", quote(url))).unwrap_or_default();
    let has_handshake = presets::named(preset)?.text.contains("[handshake]");
    let token = "[sources.trial.handshake]\nverify_token = { env = \"ANY\" }\n";

    let text = |token: &str| {
        format!(
            "[sources.trial]\npath = {}\npreset = {}\nsecrets = [{{ env = \"ANY\" }}]\n{url}{token}",
            quote(path),
            quote(preset),
        )
    };
    let parse = |text: String| {
        // The scheme alone is wanted, and a preset's scheme does not depend on the secret.
        let loaded = Config::parse(&text, preset, Path::new("."), &NoSecrets);
        loaded.ok()?.0.sources.into_iter().next()
    };
    let with_token = has_handshake.then(|| parse(text(token))).flatten();
    with_token.or_else(|| parse(text("")))
}

/// Whatever the variable or the file, this secret is in it.
pub(super) struct OneSecret<'a>(pub(super) &'a Secret);

impl SecretReader for OneSecret<'_> {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(self.0.clone())
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Ok(self.0.clone())
    }
}
