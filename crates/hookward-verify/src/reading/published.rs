//! The keys of `signature` that say what a token must be, and which certificates requests may name.

use crate::certificates::PinnedRoot;
use crate::jwt::issued_at;
use crate::scheme::{
    Algorithm, CertificateRule, ClaimRule, HostPattern, JwtAlgorithm, PathPattern, Place, Pointer,
    TimestampPlace, TokenRule,
};
use hookward_settings::document::Value;
use hookward_settings::keys::{KeyDeclaration, TableKeys, key, optional};
use hookward_settings::reading::{Item, TableReader};
use hookward_settings::secrets::{file_path, plain};
use hookward_settings::value::{Form, FormFault};
use std::sync::Arc;

pub(super) const JWT_ALGORITHMS: KeyDeclaration = optional(
    "jwt_algorithms",
    "list of words",
    "required with `algorithm = \"jwt\"`",
    "The algorithms that a token may use, for `algorithm = \"jwt\"`: `RS256`, `PS256`, `ES256`, \
     `EdDSA`; or `HS256` alone, with a shared secret. The token never decides.",
);
pub(super) const AUDIENCE: KeyDeclaration = optional(
    "audience",
    "text or list of texts",
    "any audience",
    "The value that the token's `aud` must contain.",
);
pub(super) const ISSUER: KeyDeclaration = optional(
    "issuer",
    "text or list of texts",
    "any issuer",
    "The value that the token's `iss` must have.",
);
pub(super) const CLAIMS: KeyDeclaration = key(
    "claims",
    "table of texts",
    "{}",
    "Claims that must have this value, or one of a list. A name that begins with `/` is a JSON Pointer \
     into the token's payload or, without a token, into the signed body. Those of the preset hold too.",
);
pub(super) const BODY_CLAIM: KeyDeclaration = optional(
    "body_claim",
    "text",
    "the token does not cover the body",
    "The claim with the SHA-256 of the body, encoded as `encoding` says.",
);
pub(super) const TOKEN_FROM: KeyDeclaration = optional(
    "token_from",
    "place",
    "`header`, otherwise `Authorization` after `Bearer `",
    "Where the token is: `json:/POINTER` or `header:NAME`.",
);
pub(super) const X5C_ROOT: KeyDeclaration = optional(
    "x5c_root",
    "path",
    "the token carries no certificates",
    "The certificate (PEM or DER) at which the chain in the token's `x5c` must end.",
);
pub(super) const X5C_MARKERS: KeyDeclaration = optional(
    "x5c_markers",
    "list of texts",
    "no extensions are required",
    "Two object identifiers: an extension that the token's certificate must have, and one that \
     the certificate above it must have.",
);
pub(super) const COMPONENTS: KeyDeclaration = optional(
    "components",
    "list of texts",
    "required with `algorithm = \"http-message-signatures\"`",
    "What an RFC 9421 signature must cover: `@method`, `@target-uri`, `@authority`, `@path`, \
     `@query`, `content-digest`, names of headers.",
);
pub(super) const KEY_URL: KeyDeclaration = optional(
    "key_url",
    "place",
    "the key is among the secrets",
    "Where the request names the URL of its certificate: `json:/POINTER` or `header:NAME`.",
);
pub(super) const KEY_HOSTS: KeyDeclaration = optional(
    "key_hosts",
    "list of hosts",
    "none, without `key_url`",
    "The hosts that the URL may name, with a port if it is not 443. `*` matches three or more \
     letters, digits or hyphens of one label.",
);
pub(super) const KEY_PATH: KeyDeclaration = optional(
    "key_path",
    "path",
    "none, without `key_url`",
    "The path that the URL must have. `*` matches letters, digits, hyphens and underscores.",
);

/// The rules for a token; `None` if one of them is wrong.
pub(super) fn token(table: &TableReader<'_>, algorithm: Option<Algorithm>) -> Option<TokenRule> {
    let is_jwt = algorithm == Some(Algorithm::Jwt);
    let words = |item: &Item<'_>| item.choice(&JwtAlgorithm::NAMES);
    let allowed = JwtAlgorithm::NAMES.map(|(name, _)| name).join(", ");
    let stated = table.get("jwt_algorithms");
    let algorithms = stated.as_ref().map(|item| item.each(&allowed, words));
    let algorithms = algorithms.unwrap_or_else(|| Some(Vec::new()));
    let count = |item: &Item<'_>| match &item.node.value {
        Value::List(all) => all.len(),
        _ => 0,
    };
    match (&stated, &algorithms) {
        (None, _) if is_jwt => table.missing("jwt_algorithms", &allowed),
        (Some(item), Some(_)) if count(item) == 0 => {
            item.refuse("empty: no token could be checked", &allowed);
        }
        (Some(item), Some(all)) if all.contains(&JwtAlgorithm::Hs256) && all.len() > 1 => item
            .contradicts(
                "HS256 cannot be combined with a public-key algorithm: anyone who knows the \
                 public key could use it as the secret",
            ),
        _ => {}
    }
    let texts = |name| table.get(name).map_or(Some(Vec::new()), |item| texts(&item));
    let (audience, issuer) = (texts("audience"), texts("issuer"));
    let body_claim = table.get("body_claim").map(|item| item.text("the name of a claim"));
    let root = table.get("x5c_root").map(|item| root(&item));
    let markers =
        table.get("x5c_markers").map(|item| item.each("two object identifiers", object_identifier));
    let mut rule = TokenRule {
        algorithms: algorithms?,
        audience: audience?,
        issuer: issuer?,
        body_claim: match body_claim {
            Some(name) => Some(name?.to_owned()),
            None => None,
        },
        root: None,
    };
    if let Some(root) = root {
        let mut root = root?;
        let mut markers = markers.flatten().unwrap_or_default().into_iter();
        (root.leaf_marker, root.intermediate_marker) = (markers.next(), markers.next());
        rule.root = Some(Arc::new(root));
    }
    Some(rule)
}

fn texts(item: &Item<'_>) -> Option<Vec<String>> {
    let allowed = "a text, or a list of them";
    let all = super::forms::one_or_more(item, |item| item.text(allowed).map(str::to_owned))?;
    if all.iter().any(String::is_empty) {
        item.refuse("empty", allowed);
        return None;
    }
    Some(all)
}

fn object_identifier(item: &Item<'_>) -> Option<String> {
    let allowed = "an object identifier such as \"1.2.840.113635.100.6.11.1\"";
    let text = item.text(allowed)?;
    let sound = text.split('.').count() > 2
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !sound {
        item.refuse("not an object identifier", allowed);
    }
    sound.then(|| text.to_owned())
}

fn root(item: &Item<'_>) -> Option<PinnedRoot> {
    let path = file_path(item)?;
    let read = match item.reading.secrets.file(&path) {
        Ok(bytes) => PinnedRoot::read(bytes.expose()),
        Err(fault) => Err(format!("it cannot be read: {}", plain(&fault))),
    };
    match read {
        Ok(root) => Some(root),
        // A command that uses another part of the configuration needs no certificate; this one
        // verifies nothing.
        Err(_) if !item.reading.needs(&item.key) => Some(PinnedRoot::unreadable()),
        Err(what) => {
            item.contradicts(what);
            None
        }
    }
}

/// Claims that must have some value.
pub(super) fn claims(table: &TableReader<'_>) -> Vec<ClaimRule> {
    static CLAIM_NAMES: TableKeys = TableKeys {
        title: "",
        about: "a table of claims such as {  email = \"pusher@example.com\" }",
        keys: &[],
    };
    let Some(claims) = table.get("claims").and_then(|item| item.table(&CLAIM_NAMES)) else {
        return Vec::new();
    };
    let claim = |(name, item): (&str, Item<'_>)| {
        let values = texts(&item)?;
        let pointer = if name.starts_with('/') {
            match Pointer::parse(name) {
                Ok(pointer) => pointer,
                Err(what) => {
                    item.contradicts(what);
                    return None;
                }
            }
        } else {
            Pointer::of(&[name])
        };
        Some(ClaimRule { pointer, values })
    };
    claims.entries().filter_map(claim).collect()
}

/// Which certificates requests may name. The outer `None`: something is wrong.
#[expect(clippy::option_option, reason = "wrong and absent are two things; both are local")]
pub(super) fn certificate(table: &TableReader<'_>) -> Option<Option<CertificateRule>> {
    let (url, hosts, path) = (table.get("key_url"), table.get("key_hosts"), table.get("key_path"));
    let Some(url) = url else {
        for other in [hosts, path].into_iter().flatten() {
            other.refuse("set without `key_url`", "`key_url`, `key_hosts` and `key_path` together");
        }
        return Some(None);
    };
    let place = url.form::<Place>();
    if place.as_ref().is_some_and(|place| !matches!(place, Place::Header(_) | Place::Json(_))) {
        url.refuse("a URL cannot be there", "json:/POINTER, header:NAME");
        return None;
    }
    if hosts.is_none() {
        table.missing("key_hosts", <HostPattern as Form>::ALLOWED);
    }
    if path.is_none() {
        table.missing("key_path", <PathPattern as Form>::ALLOWED);
    }
    let host = |item: &Item<'_>| item.form::<HostPattern>();
    let hosts = hosts.and_then(|item| super::forms::one_or_more(&item, host));
    let path = path.and_then(|item| item.form::<PathPattern>());
    Some(Some(CertificateRule { url: place?, hosts: hosts?, path: path? }))
}

/// Where the time is if the table does not say.
pub(super) fn default_time(algorithm: Algorithm) -> Option<TimestampPlace> {
    match algorithm {
        Algorithm::Jwt => Some(issued_at()),
        Algorithm::HttpMessageSignatures => Some(TimestampPlace::Claim(Pointer::of(&["created"]))),
        _ => None,
    }
}

/// What an RFC 9421 signature must cover.
pub(super) fn components(table: &TableReader<'_>, algorithm: Option<Algorithm>) -> Vec<String> {
    const DERIVED: [&str; 7] =
        ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];
    let allowed = "a list such as [\"@method\", \"@target-uri\", \"content-digest\"]";
    let is_message = algorithm == Some(Algorithm::HttpMessageSignatures);
    let Some(item) = table.get("components") else {
        if is_message {
            table.missing("components", allowed);
        }
        return Vec::new();
    };
    let component = |item: &Item<'_>| {
        let text = item.text(allowed)?;
        let is_header =
            http::HeaderName::from_bytes(text.as_bytes()).is_ok_and(|name| name.as_str() == text);
        if !is_header && !DERIVED.contains(&text) {
            let allowed = format!("{}, the name of a header in lower case", DERIVED.join(", "));
            item.refuse("not a component of a request", &allowed);
            return None;
        }
        Some(text.to_owned())
    };
    let components = item.each(allowed, component).unwrap_or_default();
    if is_message && matches!(&item.node.value, Value::List(all) if all.is_empty()) {
        item.refuse("empty: a signature could cover nothing of the request", allowed);
    }
    components
}

impl Form for HostPattern {
    const NAME: &'static str = "a host";
    const ALLOWED: &'static str =
        "a host such as \"sns.*.amazonaws.com\" or \"keys.example.com:8443\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        Self::parse(text).map_err(FormFault::from)
    }
}

impl Form for PathPattern {
    const NAME: &'static str = "a path";
    const ALLOWED: &'static str = "a path such as \"/SimpleNotificationService-*.pem\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        Self::parse(text).map_err(FormFault::from)
    }
}
