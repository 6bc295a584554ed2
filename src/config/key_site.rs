//! Secrets that say where the sender publishes its keys.

use hookward_settings::document::Value;
use hookward_settings::keys::{TableKeys, optional};
use hookward_settings::reading::Item;
use hookward_settings::secrets::{self, FoundSecret};
use hookward_verify::sender::KeySiteKind;
use url::Url;

pub(super) static KEYS: TableKeys = TableKeys {
    title: "published keys",
    about: "An entry of a source's `secrets` that says where the sender publishes its keys. https \
            only; see [keys that senders publish](schemes.md#keys-that-senders-publish).",
    keys: &[
        optional("jwks", "URL", "–", "A JSON Web Key Set."),
        optional(
            "jwk_by_id",
            "URL",
            "–",
            "A URL that answers a POST with `client_id`, `secret` and `key_id` with one key \
             (Plaid).",
        ),
        optional("client_id", "secret", "–", "Goes with `jwk_by_id`."),
        optional("secret", "secret", "–", "Goes with `jwk_by_id`."),
        optional(
            "name",
            "text",
            "its index, 0 for the newest",
            "Its label in `hookward_secret_matches_total`.",
        ),
    ],
};

/// The result of reading one.
pub(super) enum SiteReading {
    /// Where its keys are.
    Good(Url, KeySiteKind),
    /// A credential that cannot be read, and why.
    Unreadable(String),
}

/// Whether a secret is one of these.
pub(super) fn is_one(item: &Item<'_>) -> bool {
    matches!(&item.node.value, Value::Table(table) if
        table.get("jwks").is_some() || table.get("jwk_by_id").is_some())
}

/// Reads it; `None` if it is wrong, which has been reported.
pub(super) fn read(item: &Item<'_>) -> Option<SiteReading> {
    let table = item.table(&KEYS)?;
    let set = table.get("jwks");
    let by_id = table.get("jwk_by_id");
    let (client_id, secret) = (table.get_hidden("client_id"), table.get_hidden("secret"));
    match (set, by_id) {
        (Some(set), None) => {
            for more in [client_id, secret].into_iter().flatten() {
                more.refuse("set in addition to `jwks`", "`jwks` alone");
            }
            Some(SiteReading::Good(https(&set)?, KeySiteKind::Set))
        }
        (None, Some(by_id)) => {
            let url = https(&by_id);
            let credential = |item: Option<Item<'_>>, name: &str| {
                if item.is_none() {
                    table.missing(name, "a secret such as {  env = \"PLAID_SECRET\" }");
                }
                secrets::read(&item?)
            };
            let client_id = credential(client_id, "client_id");
            let secret = credential(secret, "secret");
            match (client_id?, secret?) {
                (FoundSecret::Secret(client_id), FoundSecret::Secret(secret)) => {
                    Some(SiteReading::Good(url?, KeySiteKind::ById { client_id, secret }))
                }
                (FoundSecret::Unreadable(why), _) | (_, FoundSecret::Unreadable(why)) => {
                    Some(SiteReading::Unreadable(why))
                }
            }
        }
        (_, Some(by_id)) => {
            by_id.refuse("set in addition to `jwks`", "one of jwks, jwk_by_id");
            None
        }
        (None, None) => None,
    }
}

fn https(item: &Item<'_>) -> Option<Url> {
    let allowed = "an https:// URL such as \"https://www.googleapis.com/oauth2/v3/certs\"";
    let text = item.text(allowed)?;
    let url = Url::parse(text).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        url.scheme() == "https" && url.has_host() && plain && url.fragment().is_none()
    });
    if url.is_none() {
        item.refuse("not a URL for fetching keys", allowed);
    }
    url
}
