//! The secrets of a source, and the keys made from them.

use crate::config::key_site::{self, SiteReading};
use hookward_secret::{NamedSecret, UnreadableSecret};
use hookward_settings::document::Value;
use hookward_settings::problem::Severity;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, FoundSecret};
use hookward_verify::keys::Keys;
use hookward_verify::scheme::{Algorithm, Part, Scheme};
use hookward_verify::sender::KeySite;
use std::collections::BTreeSet;

/// The secrets of a source, newest first.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) readable: Vec<NamedSecret>,
    pub(super) unreadable: Vec<UnreadableSecret>,
    pub(super) key_sites: Vec<KeySite>,
}

/// Whether the request names or carries the key, so that the scheme needs no secret.
fn needs_no_secret(scheme: &Scheme) -> bool {
    let rule = &scheme.signature;
    let names_its_key = rule.certificate.is_some() || rule.token.root.is_some();
    names_its_key && !rule.signed.any(|part| *part == Part::Secret)
}

pub(super) fn read_secrets(table: &TableReader<'_>, scheme: Option<&Scheme>) -> Option<Secrets> {
    let allowed = "a list such as [{ env = \"SHOP_SECRET\" }], newest first";
    let no_root = |scheme: &Scheme| scheme.signature.token.root.is_none();
    if table.states("signature.x5c_markers") && scheme.is_some_and(no_root) {
        let what =
            "the token carries its certificates, but nothing says at which root they must end";
        table.note(Severity::Error, "signature.x5c_root", what, Some("the path of a certificate"));
        return None;
    }
    if scheme.is_some_and(needs_no_secret) {
        if let Some(item) = table.get("secrets") {
            let what = "not used: the request names or carries its key";
            item.hidden().refuse(what, "no `secrets`");
        }
        return Some(Secrets::default());
    }
    let list = table.require("secrets", allowed)?.hidden();
    let items = list.list(allowed)?;
    if items.is_empty() {
        list.refuse("empty: no signature could be checked", allowed);
        return None;
    }
    let mut labels = BTreeSet::new();
    let mut secrets = Secrets::default();
    let mut whole = true;
    for (index, item) in items.iter().enumerate() {
        let label = label(item, index);
        if !labels.insert(label.clone()) {
            item.contradicts("another secret of this source has the same name");
        }
        if key_site::is_one(item) {
            match key_site::read(item) {
                Some(SiteReading::Good(url, kind)) => {
                    secrets.key_sites.push(KeySite { entry: index, label, url, kind });
                }
                Some(SiteReading::Unreadable(why)) => {
                    secrets.unreadable.push(UnreadableSecret { index, label, why });
                }
                None => whole = false,
            }
            continue;
        }
        match secrets::read(item) {
            Some(FoundSecret::Secret(text)) => secrets.readable.push(NamedSecret { label, text }),
            Some(FoundSecret::Unreadable(why)) => {
                secrets.unreadable.push(UnreadableSecret { index, label, why });
            }
            None => whole = false,
        }
    }
    // The effect of an unreadable one is known only after reading all.
    let meanwhile = match secrets.readable.len() {
        0 => "only this source answers 503 secret_unavailable",
        1 => "this source uses only its other secret",
        _ => "this source uses its other secrets",
    };
    for UnreadableSecret { index, why, .. } in &secrets.unreadable {
        if let Some(item) = items.get(*index) {
            item.warn(format!("{why}; until it can be read, {meanwhile}"));
        }
    }
    if let Some(site) = secrets.key_sites.first() {
        let item = items.get(site.entry).unwrap_or(&list);
        if secrets.key_sites.len() + secrets.unreadable.len() < items.len() {
            item.contradicts(
                "mixed with secrets of another kind: either all are published or none",
            );
            return None;
        }
        if !scheme.is_none_or(publishes) {
            let allowed = "`algorithm = \"jwt\"` with RS256, PS256, ES256 or EdDSA, or \
                           `http-message-signatures`";
            item.refuse("published keys cannot be used with this algorithm", allowed);
            return None;
        }
    }
    whole.then_some(secrets)
}

/// Whether a public key set can check the scheme's signatures.
fn publishes(scheme: &Scheme) -> bool {
    let rule = &scheme.signature;
    match rule.algorithm {
        Algorithm::Jwt => rule.methods().next().is_some(),
        other => other == Algorithm::HttpMessageSignatures,
    }
}

fn label(item: &Item<'_>, index: usize) -> String {
    let name = match &item.node.value {
        Value::Table(table) => table.get("name"),
        _ => None,
    };
    match name.map(|node| &node.value) {
        Some(Value::Text(name)) if !name.is_empty() => name.clone(),
        Some(_) => {
            item.refuse("its `name` is empty or not a string", "a name such as \"2026-03\"");
            index.to_string()
        }
        None => index.to_string(),
    }
}

pub(super) fn keys(
    table: &TableReader<'_>,
    scheme: &Scheme,
    secrets: Vec<NamedSecret>,
    (unreadable, key_sites): (&[UnreadableSecret], &[KeySite]),
) -> (Vec<NamedSecret>, Result<Keys, String>) {
    if needs_no_secret(scheme) || !key_sites.is_empty() {
        return (Vec::new(), Ok(Keys::published()));
    }
    if secrets.is_empty() {
        let told = |secret: &UnreadableSecret| format!("secrets[{}]: {}", secret.index, secret.why);
        return (secrets, Err(unreadable.iter().map(told).collect::<Vec<_>>().join("; ")));
    }
    match Keys::new(&secrets, &scheme.signature) {
        Ok(keys) => (secrets, Ok(keys)),
        Err(fault) => {
            let what = format!("it cannot be used as a key: {fault}");
            let needed = table.reading.needs(&table.path("secrets"));
            let severity = if needed { Severity::Error } else { Severity::Warning };
            table.note(severity, "secrets", &what, None);
            (Vec::new(), Err(fault.to_string()))
        }
    }
}
