//! The `signature`, `timestamp`, `event` and `handshake` tables: how a sender signs.
//!
//! A preset has the same tables, so both are read here.

use super::forms::one_or_more;
use super::published;
pub use super::timestamp::TIMESTAMP_KEYS;
use super::timestamp::{TOKEN_WINDOW, timestamp};
use crate::scheme::{
    Algorithm, Encoding, EventRule, Fallback, Handshake, HandshakeKind, KeyForm, Part, Place,
    Scheme, SignatureRule, Template, TimestampRule,
};
use hookward_settings::keys::{TableKeys, key, optional, required};
use hookward_settings::problem::Severity;
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{self, FoundSecret};
use hookward_settings::value::Form;
use http::HeaderName;

/// The keys of the `signature` table.
pub static SIGNATURE_KEYS: TableKeys = TableKeys {
    title: "[sources.NAME.signature]",
    about: "How a signature is made and where it is. The request never chooses any of this.",
    keys: &[
        key(
            "algorithm",
            "word",
            r#""hmac-sha256""#,
            "`hmac-sha1`, `hmac-sha256`, `hmac-sha384`, `hmac-sha512`; `sha256` or `sha1` of a \
             signed text with `{secret}` in it; `ed25519`, `ecdsa-p256-sha256` (the secrets are \
             then public keys); `rsa-sha256`, `rsa-sha1` (PKCS #1 v1.5, with a public key or with \
             the certificate that `key_url` names); `jwt` (a JSON Web Token); \
             `http-message-signatures` (RFC 9421); `token` (the header contains the secret \
             itself).",
        ),
        optional(
            "header",
            "header name or list of them",
            "required without `from`",
            "The headers with signatures. One header with a match is enough.",
        ),
        optional(
            "from",
            "place or list of them",
            "required without `header`",
            "Instead of `header`, for a signature in the body: `json:/POINTER`; also \
             `header:NAME`.",
        ),
        optional(
            "separator",
            "text",
            "the header is one item",
            "Splits the header into items and trims spaces around them.",
        ),
        key("prefix", "text", r#""""#, "An item that starts with this contains a signature."),
        key(
            "prefix_optional",
            "boolean",
            "false",
            "Whether an item without the prefix contains a signature as well.",
        ),
        key("encoding", "word", r#""hex""#, "`hex`, `base64` or `base64url`."),
        key(
            "signed",
            "text with placeholders",
            r#""{body}""#,
            "What is signed: `{body}`, `{timestamp}` (as received), `{secret}`, `{header:NAME}`, \
             `{json:/POINTER}`, `{json-raw:/POINTER}` (as it is written in the body), `{method}`, \
             `{url}` (the `public_url` and the query; `{url:any-port}`, `{url:decoded}` as some \
             senders write it), `{path}`, `{query}`, `{query:NAME}`, `{form}` (the body's form \
             fields, sorted and concatenated), `{listed:PREFIX}` (the headers that an item \
             names), and `{lower:…}` around one of them. See `schemes.md`.",
        ),
        key(
            "key",
            "word",
            r#""text""#,
            "How a secret becomes key bytes: `text`, `hex`, `base64`. A public key in PEM is read \
             directly.",
        ),
        key("key_prefix", "text", r#""""#, "Removed from the start of the secret, if present."),
        key("require", "table of texts", "{}", "Headers that must have exactly this value."),
        optional(
            "fallback_prefix",
            "text",
            "no other version is accepted",
            "If no item has `prefix`, an item that starts with this contains a signature of \
             `fallback_signed`: an older version that some deliveries carry alone.",
        ),
        optional(
            "fallback_signed",
            "text with placeholders",
            "none, without `fallback_prefix`",
            "The signed text for `fallback_prefix`. Set both keys or neither.",
        ),
        published::JWT_ALGORITHMS,
        published::AUDIENCE,
        published::ISSUER,
        published::CLAIMS,
        published::BODY_CLAIM,
        published::TOKEN_FROM,
        published::COMPONENTS,
        published::X5C_ROOT,
        published::X5C_MARKERS,
        published::KEY_URL,
        published::KEY_HOSTS,
        published::KEY_PATH,
    ],
};

/// The keys of the `event` table.
pub static EVENT_KEYS: TableKeys = TableKeys {
    title: "[sources.NAME.event]",
    about: "Where the event's id, type and time are. In each list the first place that exists and \
            is not empty wins.",
    keys: &[
        required(
            "id",
            "list of places",
            "The event id, the same on every retry: `json:/POINTER`, `header:NAME`, or \
             `body-sha256` for events without an id.",
        ),
        optional(
            "type",
            "list of places",
            "events have no type",
            "The event type: `json:/POINTER` or `header:NAME`.",
        ),
        optional(
            "time",
            "list of places",
            "no lag is measured",
            "The event's time, RFC 3339 or unix; for the delivery-lag histogram only.",
        ),
    ],
};

/// The keys of the `handshake` table.
pub static HANDSHAKE_KEYS: TableKeys = TableKeys {
    title: "[sources.NAME.handshake]",
    about: "A handshake of the sender's protocol that Hookward answers itself.",
    keys: &[
        required(
            "kind",
            "word",
            "The protocol: `slack`, `meta`, `zoom`, `x`, `okta`, `dropbox`, `xero`, \
             `asana`, `discord`, `discord-events`, `mandrill`, `microsoft`, `notion`, `monday`, \
             `trello`, `vtex`, `salesforce`, `ebay`, `woocommerce`, `line`, `exact-online`, \
             `twitch`, `front`, `cloudevents`, `event-grid`, `adobe-sign`,
              `aws-sns`. See `schemes.md`.",
        ),
        optional(
            "verify_token",
            "secret",
            "none",
            "The token, in protocols that let the receiver choose one (`meta`, `ebay`).",
        ),
    ],
};

/// Reads the scheme of a source or a preset whose top-level table is `owner`. The second value says
/// why a secret of the handshake cannot be read.
pub fn read(owner: &TableReader<'_>) -> (Option<Scheme>, Option<String>) {
    let table = |name, keys| owner.get(name).and_then(|item| item.table(keys));
    let signature = table("signature", &SIGNATURE_KEYS).map(|table| signature(&table));
    let algorithm = signature.as_ref().and_then(Option::as_ref).map(|rule| rule.algorithm);
    let time = algorithm.and_then(published::default_time);
    let timestamp = match table("timestamp", &TIMESTAMP_KEYS) {
        Some(table) => Some(timestamp(&table, time)),
        // A token's age is always checked, configured or not.
        None => time.map(|from| Some(TimestampRule { from, ..TOKEN_WINDOW })),
    };
    let event = table("event", &EVENT_KEYS).map(|table| event(&table));
    let handshake = table("handshake", &HANDSHAKE_KEYS).map(|table| handshake(&table));
    if owner.get("signature").is_none() {
        owner.missing("signature", "a table with the `header` of the signature, or a `preset`");
    }
    if owner.get("event").is_none() {
        owner.missing("event", "a table with the places of the event's `id`, or a `preset`");
    }
    let (handshake, unreadable) = match handshake {
        Some(Some((handshake, unreadable))) => (Some(handshake), unreadable),
        _ => (None, None),
    };
    let scheme = || {
        Some(Scheme {
            signature: signature??,
            timestamp: timestamp.flatten(),
            event: event??,
            handshake,
        })
    };
    (scheme(), unreadable)
}

fn signature(table: &TableReader<'_>) -> Option<SignatureRule> {
    let algorithm = table.get("algorithm").map(|item| algorithm(&item));
    let algorithm = algorithm.unwrap_or(Some(Algorithm::HmacSha256));
    let encoding = table.get("encoding").map(|item| item.choice(&Encoding::NAMES));
    let key = table.get("key").map(|item| item.choice(&KeyForm::NAMES));
    let signed = table.get("signed").map(|item| item.form::<Template>());
    let text = |name| table.get(name).map_or(Some(""), |item| item.text("a text"));
    let (prefix, key_prefix) = (text("prefix"), text("key_prefix"));
    let separator = table.get("separator").and_then(|item| separator(&item));
    let prefix_optional = table.get("prefix_optional").and_then(|item| item.boolean());
    let require = table.get("require").map(|item| required_headers(&item)).unwrap_or_default();
    let places = places_of_signature(table, algorithm);
    let fallback = fallback(table);
    let token = published::token(table, algorithm);
    let certificate = published::certificate(table);
    let components = published::components(table, algorithm);
    let claims = published::claims(table);
    let stands_alone = table.get("header").is_none()
        && table.get("from").is_none()
        && table.get("token_from").is_none();
    let prefix = match algorithm {
        // The default place of a token is a credential of this scheme.
        Some(Algorithm::Jwt) if stands_alone && table.get("prefix").is_none() => Some("Bearer "),
        _ => prefix,
    };
    Some(SignatureRule {
        algorithm: algorithm?,
        places: places?,
        separator,
        prefix: prefix?.to_owned(),
        prefix_optional: prefix_optional.unwrap_or(false),
        encoding: encoding.unwrap_or(Some(Encoding::Hex))?,
        signed: signed.unwrap_or_else(|| Some(Template(vec![Part::Body])))?,
        key: key.unwrap_or(Some(KeyForm::Text))?,
        key_prefix: key_prefix?.to_owned(),
        require,
        fallback,
        token: token?,
        certificate: certificate?,
        components,
        claims,
    })
}

fn fallback(table: &TableReader<'_>) -> Option<Fallback> {
    let prefix = table.get("fallback_prefix");
    let signed = table.get("fallback_signed");
    match (&prefix, &signed) {
        (Some(one), None) => one.refuse("set without `fallback_signed`", "both, or neither"),
        (None, Some(one)) => one.refuse("set without `fallback_prefix`", "both, or neither"),
        _ => {}
    }
    let prefix = prefix.and_then(|item| item.text("a text").map(str::to_owned));
    let signed = signed.and_then(|item| item.form::<Template>());
    Some(Fallback { prefix: prefix?, signed: signed? })
}

/// Most people who write `SHA256` mean the HMAC, because some senders' pages use that name for it.
fn algorithm(item: &Item<'_>) -> Option<Algorithm> {
    let names = Algorithm::NAMES;
    if let hookward_settings::document::Value::Text(text) = &item.node.value
        && !names.iter().any(|(name, _)| name == text)
    {
        let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
        let bare = bare.to_ascii_lowercase();
        let hash = bare.strip_prefix("hmac").unwrap_or(&bare);
        let meant = format!("hmac-{hash}");
        if names.iter().any(|(name, _)| *name == meant) {
            let all: Vec<_> = names.iter().map(|&(name, _)| name).collect();
            let what = "not one of the allowed words";
            let problem =
                item.problem(Severity::Error, what).suggestion(Some(format!("{meant:?}")));
            item.reading.note(problem.allowed(all.join(", ")));
            return None;
        }
    }
    item.choice(&names)
}

fn places_of_signature(
    table: &TableReader<'_>,
    algorithm: Option<Algorithm>,
) -> Option<Vec<Place>> {
    if let Some(item) = table.get("token_from") {
        if table.get("header").is_some() || table.get("from").is_some() {
            item.refuse(
                "set in addition to `header` or `from`",
                "exactly one of header, from, token_from",
            );
            return None;
        }
        let place = item.form::<Place>()?;
        if !matches!(place, Place::Header(_) | Place::Json(_)) {
            item.refuse("a token cannot be there", "json:/POINTER, header:NAME");
            return None;
        }
        return Some(vec![place]);
    }
    if algorithm == Some(Algorithm::Jwt)
        && table.get("header").is_none()
        && table.get("from").is_none()
    {
        return Some(vec![Place::Header(http::header::AUTHORIZATION)]);
    }
    if algorithm == Some(Algorithm::HttpMessageSignatures) {
        // The RFC's headers; no others are read.
        return Some(vec![Place::Header(HeaderName::from_static("signature"))]);
    }
    let allowed = "the header with the signature, such as \"X-Signature\", or `from`";
    match (table.get("header"), table.get("from")) {
        (Some(header), None) => one_or_more(&header, |item| item.form().map(Place::Header)),
        (None, Some(from)) => one_or_more(&from, |item| {
            let place = item.form::<Place>()?;
            if matches!(place, Place::BodySha256 | Place::Claim(_) | Place::Joined(_)) {
                item.refuse("a signature cannot be there", "json:/POINTER, header:NAME");
            }
            Some(place)
        }),
        (None, None) => {
            table.missing("header", allowed);
            None
        }
        (Some(_), Some(from)) => {
            from.refuse("set in addition to `header`", "exactly one of header, from");
            None
        }
    }
}

fn separator(item: &Item<'_>) -> Option<String> {
    let text = item.text("a text such as \",\"")?;
    if text.is_empty() {
        item.refuse("empty", "a text such as \",\"; without the key, the header is one item");
        return None;
    }
    Some(text.to_owned())
}

fn required_headers(item: &Item<'_>) -> Vec<(HeaderName, String)> {
    static HEADERS: TableKeys = TableKeys {
        title: "",
        about: "a table of headers such as {  \"X-Version\" = \"1\" }",
        keys: &[],
    };
    let Some(table) = item.table(&HEADERS) else { return Vec::new() };
    let header = |(name, item): (&str, Item<'_>)| {
        let value = item.text("the value that the header must have");
        match <HeaderName as Form>::parse(name) {
            Ok(name) => Some((name, value?.to_owned())),
            Err(fault) => {
                item.refuse(fault.what, <HeaderName as Form>::ALLOWED);
                None
            }
        }
    };
    table.entries().filter_map(header).collect()
}

fn event(table: &TableReader<'_>) -> Option<EventRule> {
    let id = table.require("id", "a list of places such as [\"json:/id\"]");
    let id = id.and_then(|item| {
        let allowed = "a list of places such as [\"json:/id\"], or [\"body-sha256\"] for events without an id";
        let places = item.each(allowed, Item::form)?;
        if matches!(&item.node.value, hookward_settings::document::Value::List(items) if items.is_empty()) {
            item.refuse("empty: no event could be distinguished from another", allowed);
        }
        Some(places)
    });
    let places = |name| {
        let item = table.get(name)?;
        item.each("a list of places such as [\"json:/type\"]", |item| {
            let place = item.form::<Place>()?;
            if place.singles().any(|single| *single == Place::BodySha256) {
                item.refuse("a hash can only be an id", "header:NAME, json:/POINTER");
            }
            Some(place)
        })
    };
    let (kind, time) = (places("type"), places("time"));
    Some(EventRule { id: id?, kind: kind.unwrap_or_default(), time: time.unwrap_or_default() })
}

fn handshake(table: &TableReader<'_>) -> Option<(Handshake, Option<String>)> {
    let kind = table.require("kind", &HandshakeKind::NAMES.map(|(name, _)| name).join(", "));
    let kind = kind.and_then(|item| item.choice(&HandshakeKind::NAMES));
    let token = table.get_hidden("verify_token").map(|item| secrets::read(&item));
    let (verify_token, unreadable) = match token {
        None => (None, None),
        Some(Some(FoundSecret::Secret(secret))) => (Some(secret), None),
        Some(Some(FoundSecret::Unreadable(why))) => {
            (None, Some(format!("handshake.verify_token: {why}")))
        }
        Some(None) => return None,
    };
    Some((Handshake { kind: kind?, verify_token }, unreadable))
}
