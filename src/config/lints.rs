//! Finds what is wrong, or weaker than it looks, in a configuration whose tables are individually
//! valid.
//!
//! Checks how values in different tables fit together, and what the signature of a source does not
//! cover.

mod published;
mod shared;

use super::Config;
use super::source::Draft;
use crate::delivery::route::{Route, TypeGlob};
use crate::delivery::source::{Mode, Source};
use hookward_secret::NamedSecret;
use hookward_settings::problem::Severity;
use hookward_settings::reading::{Reading, TableReader};
use hookward_time::written;
use hookward_verify::scheme::{
    Algorithm, KeyForm, Part, Place, SignatureRule, Template, TimestampPlace,
};
use std::net::SocketAddr;
use std::time::Duration;

/// Checks the configuration. `root` is the whole file; `drafts` are the sources' tables, including
/// those that did not become a source.
pub(super) fn judge<'a>(
    config: &Config,
    root: &TableReader<'a>,
    drafts: &'a [Draft<'_>],
    reading: &'a Reading<'a>,
) {
    listeners(config, root);
    // If a source could not be read, its destinations are unknown.
    if !reading.has_errors() {
        unused_upstreams(config, root);
    }
    doubled_paths(config, drafts, reading);
    if drafts.is_empty() && !reading.has_errors() {
        let severity = if reading.serves() { Severity::Error } else { Severity::Warning };
        let what = "no source is defined: every request would be answered 404";
        root.note(severity, "sources", what, None);
    }
    shared::judge(config, drafts, reading);
    for source in &config.sources {
        if let Some(draft) = drafts.iter().find(|draft| *draft.name == *source.name.as_str()) {
            let table = draft.reader(reading);
            contradictions(source, &table);
            memory(config, source, draft, root, &table);
            patience(config, source, &table);
            coverage(source, &table);
            freshness(source, draft, &table);
            body_limit(config, draft, &table);
            strength(source, &table);
            published::owners(source, draft, &table);
            routes(source, &table);
            if draft.preset.as_ref().is_some_and(|preset| preset.unconfirmed) {
                let what = "based on facts that could not be confirmed; check a real delivery \
                            with `hookward explain` before you rely on it";
                table.note(Severity::Warning, "preset", what, None);
            }
            if source.mode == Mode::Shadow && source.routes.iter().any(Route::uses_inbox) {
                let what =
                    "nothing is stored: routes with `delivery` spill or queued work like sync";
                table.note(Severity::Warning, "mode", what, None);
            }
            if source.mode == Mode::Shadow {
                let what = "forged, stale and repeated deliveries are forwarded as well";
                table.note(Severity::Warning, "mode", what, None);
            }
        }
    }
}

fn listeners(config: &Config, root: &TableReader<'_>) {
    let admin = config.admin.listen;
    let overlap = |public: &SocketAddr| {
        public.port() == admin.port()
            && public.port() != 0
            && public.is_ipv4() == admin.is_ipv4()
            && (public.ip() == admin.ip()
                || public.ip().is_unspecified()
                || admin.ip().is_unspecified())
    };
    if let Some(public) = config.server.listen.iter().find(|public| overlap(public)) {
        let what = format!("{admin} is also in server.listen, {public}");
        root.note(Severity::Error, "admin.listen", &what, None);
    }
    if config.server.body_memory_bytes < config.server.limits.largest_body_bytes() {
        let what = "less than `max_body` plus the read buffer of 64 KiB: a body of that size is \
                    always answered 503";
        root.note(Severity::Warning, "server.body_memory", what, None);
    }
    if config.server.limits.trusted_proxies.iter().any(|range| range.prefix_len() == 0) {
        let what = "every sender can claim any address, so `allow` keeps no one out";
        root.note(Severity::Warning, "server.trusted_proxies", what, None);
    }
}

fn unused_upstreams(config: &Config, root: &TableReader<'_>) {
    let used = |name: &str| {
        let mut routes = config.sources.iter().flat_map(|source| &source.routes);
        routes.any(|route| route.to.iter().any(|to| to.as_str() == name))
    };
    for upstream in &config.upstreams {
        if !used(upstream.name.as_str()) {
            let key = format!("upstreams.{}", upstream.name);
            root.note(Severity::Note, &key, "no route leads here", None);
        }
    }
}

fn doubled_paths<'a>(config: &Config, drafts: &'a [Draft<'_>], reading: &'a Reading<'a>) {
    for (index, source) in config.sources.iter().enumerate() {
        let earlier = config.sources.iter().take(index).find(|other| other.path == source.path);
        let draft = drafts.iter().find(|draft| *draft.name == *source.name.as_str());
        if let (Some(earlier), Some(draft)) = (earlier, draft) {
            let what = format!("is also the path of sources.{}", earlier.name);
            draft.reader(reading).note(Severity::Error, "path", &what, None);
        }
    }
}

/// Settings that cannot work, or would do the opposite of their purpose.
fn contradictions(source: &Source, table: &TableReader<'_>) {
    let signature = &source.sender.scheme.signature;
    let signed = &signature.signed;
    let has_timestamp = source.sender.scheme.timestamp.is_some() || table.states("timestamp");
    if signed.any(|part| *part == Part::Timestamp) && !has_timestamp {
        let what = "{timestamp} is used, but no timestamp table says where it is";
        table.note(Severity::Error, "signature.signed", what, None);
    }
    if signed.any(|part| matches!(part, Part::Url(_))) && source.sender.public_url.is_none() {
        let what = "{url} is used, but `public_url` is not set";
        table.note(Severity::Error, "signature.signed", what, None);
    }
    if let Some(handshake) = &source.sender.scheme.handshake {
        let kind = handshake.kind;
        let is_known = |secret: &NamedSecret| {
            kind.known_key().is_some_and(|known| known.as_bytes() == secret.text.expose())
        };
        if let Some(index) = source.sender.secrets.iter().position(is_known) {
            let what = "this is the sender's public key for set-up requests: everyone knows it, \
                        so anyone could forge events";
            table.note(Severity::Error, &format!("secrets[{index}]"), what, None);
        }
        // Only handshakes need the token; deliveries work without it.
        if kind.needs_verify_token()
            && handshake.verify_token.is_none()
            && !table.states("handshake.verify_token")
        {
            let what = "this handshake cannot be answered without `verify_token`, the token that \
                        you chose when you registered the URL";
            table.note(Severity::Warning, "handshake", what, None);
        }
        if kind.needs_public_url() && source.sender.public_url.is_none() {
            let what = "this handshake cannot be answered without `public_url`";
            table.note(Severity::Warning, "handshake", what, None);
        }
    }
    let hash = matches!(signature.algorithm, Algorithm::Sha256 | Algorithm::Sha1);
    if hash && !signed.any(|part| *part == Part::Secret) {
        let what = "anyone can make a plain hash without {secret} in it";
        let allowed = "a text with {secret}, such as \"{secret}{body}\"";
        table.note(Severity::Error, "signature.signed", what, Some(allowed));
    }
    if source.sender.replay_guard && signature.algorithm == Algorithm::Token {
        let what = "a token is the same in every request, so every event after the first would be \
                    a duplicate";
        table.note(Severity::Error, "replay_guard", what, None);
    }
}

/// Compares how long delivered ids are remembered with how long they may come again.
fn memory(
    config: &Config,
    source: &Source,
    draft: &Draft<'_>,
    root: &TableReader<'_>,
    table: &TableReader<'_>,
) {
    let ttl = source.dedupe_ttl;
    let own = source.dedupe_ttl != config.dedupe.ttl || table.get("dedupe_ttl").is_some();
    let tell = |severity, what: &str, least: Duration| {
        let allowed = format!("at least \"{}\"", written(least));
        if own {
            table.note(severity, "dedupe_ttl", what, Some(&allowed));
        } else if !root.states("dedupe.ttl") {
            table.note(severity, "", &format!("dedupe.ttl: {what}"), Some(&allowed));
        } else {
            root.note(severity, "dedupe.ttl", what, Some(&allowed));
        }
    };
    let name = &source.name;
    if let Some(timestamp) = &source.sender.scheme.timestamp
        && let Some(max_age) = timestamp.max_age
    {
        let fresh = max_age.saturating_add(timestamp.max_ahead);
        if ttl < fresh {
            let what = format!(
                "{} is less than max_age + max_ahead of sources.{name}, {} + {}: a delivery could \
                 be fresh enough to pass and old enough to be forgotten",
                written(ttl),
                written(max_age),
                written(timestamp.max_ahead),
            );
            tell(Severity::Error, &what, fresh);
        }
    }
    if let Some(preset) = &draft.preset
        && let Some(horizon) = preset.retry_horizon
        && ttl < horizon
    {
        let what = format!(
            "{} is less than the {} for which {} keeps retrying to sources.{name}: a late retry \
             of a delivered event would be forwarded again",
            written(ttl),
            written(horizon),
            preset.name,
        );
        tell(Severity::Warning, &what, horizon);
    }
}

/// Compares how long the sender waits with how long the upstream may take.
fn patience(config: &Config, source: &Source, table: &TableReader<'_>) {
    let leads_to =
        |name: &str| source.routes.iter().any(|r| r.to.iter().any(|to| to.as_str() == name));
    let reached = config.upstreams.iter().filter(|upstream| leads_to(upstream.name.as_str()));
    if let Some(slowest) = reached.max_by_key(|upstream| upstream.timeout)
        && source.respond_within < slowest.timeout
    {
        let what = format!(
            "after {} the sender is told to retry, while upstream {} may take up to {}; the retry \
             then learns how it ended",
            written(source.respond_within),
            slowest.name,
            written(slowest.timeout),
        );
        table.note(Severity::Note, "respond_within", &what, None);
    }
}

/// What the signature does not cover, and what that lets an attacker do.
fn coverage(source: &Source, table: &TableReader<'_>) {
    let signature = &source.sender.scheme.signature;
    if signature.algorithm == Algorithm::Token {
        let what = "a token signs nothing: anyone who has seen one request has the token, and can \
                    send any event with any id, type and time";
        table.note(Severity::Warning, "signature.algorithm", what, None);
        return;
    }
    if signature.algorithm == Algorithm::Jwt {
        published::tokens(source, table);
    } else if signature.algorithm == Algorithm::HttpMessageSignatures {
        if !signature.components.iter().any(|name| name == "content-digest") {
            let what = "the signature need not cover `content-digest`: anyone who has captured \
                        one delivery can send another body with its signature";
            table.note(Severity::Warning, "signature.components", what, None);
        }
    } else if signature.signed.any(|part| *part == Part::Crc32) {
        let what = "only a CRC-32 of the body is signed: anyone who has captured one delivery can \
                    make another body with the same CRC-32";
        table.note(Severity::Warning, "signature.signed", what, None);
    } else if !signature.signed_texts().all(Template::covers_body) {
        let what = "the body is not signed: anyone who has captured one delivery can send another \
                    body with its signature";
        table.note(Severity::Warning, "signature.signed", what, None);
    }
    let tell = |key, places: &[String], attack: &str| {
        let (severity, rest) = if source.sender.replay_guard {
            let ttl = written(source.dedupe_ttl);
            (Severity::Note, format!("`replay_guard` prevents this for {ttl}"))
        } else {
            (Severity::Warning, "`replay_guard = \"signature\"` prevents this".to_owned())
        };
        let verb = match places {
            [] => return,
            [_] => "is",
            _ => "are",
        };
        let what = format!(
            "{} {verb} not signed: anyone who has captured one delivery can send it again \
             {attack}; {rest}",
            places.join(", ")
        );
        table.note(severity, key, &what, None);
    };
    let open = |places: &[Place]| -> Vec<String> {
        let open = places.iter().filter(|place| !signature.covers(place));
        open.map(ToString::to_string).collect()
    };
    let event = &source.sender.scheme.event;
    tell("event.id", &open(&event.id), "under a new id, and it is forwarded again");
    tell("event.type", &open(&event.kind), "as an event of another type, and so to another route");
    if let Some(timestamp) = &source.sender.scheme.timestamp
        && !covers_time(signature, &timestamp.from)
    {
        let place = timestamp.from.to_string();
        tell("timestamp.from", &[place], "with a new time, however old it is");
    }
}

/// Without a time nothing is ever too old. If the preset's sender sends none, the user cannot
/// change that.
fn freshness(source: &Source, draft: &Draft<'_>, table: &TableReader<'_>) {
    if source.sender.scheme.timestamp.is_some() || table.states("timestamp") {
        return;
    }
    let severity = if draft.preset.is_some() { Severity::Note } else { Severity::Warning };
    let what = format!(
        "not set: an old delivery is accepted like a new one, and anyone who has kept one can \
         replay it once its id is forgotten, after {}",
        written(source.dedupe_ttl)
    );
    table.note(severity, "timestamp", &what, None);
}

/// Compares the largest accepted body with the largest that the sender makes.
fn body_limit(config: &Config, draft: &Draft<'_>, table: &TableReader<'_>) {
    let Some(preset) = &draft.preset else { return };
    let limit = config.server.limits.max_body_bytes;
    if let Some(largest) = preset.largest_body.filter(|&bytes| bytes > limit as u64) {
        let what = format!(
            "{} sends bodies of up to {}; bodies over `server.max_body` ({}) are answered 413",
            preset.title,
            size(largest),
            size(limit as u64),
        );
        table.note(Severity::Note, "preset", &what, None);
    }
}

/// A size in the unit in which it is a round number.
fn size(bytes: u64) -> String {
    let size = bytesize::ByteSize(bytes).display();
    let size = if bytes.is_multiple_of(1 << 10) { size.iec() } else { size.si() };
    size.to_string().replace(".0 ", " ")
}

fn covers_time(signature: &SignatureRule, from: &TimestampPlace) -> bool {
    let place = match from {
        TimestampPlace::Header(name) => Place::Header(name.clone()),
        TimestampPlace::Json(pointer) => Place::Json(pointer.clone()),
        TimestampPlace::Claim(_) => return true,
        TimestampPlace::Item(_) | TimestampPlace::ItemAt(_) => {
            return signature.signed.any(|part| *part == Part::Timestamp);
        }
    };
    signature.signed.covers(&place) || signature.signed.any(|part| *part == Part::Timestamp)
}

/// An attacker with one signed delivery could guess fewer bytes than this.
const LEAST_SECRET_BYTES: usize = 16;

fn strength(source: &Source, table: &TableReader<'_>) {
    let signature = &source.sender.scheme.signature;
    if signature.algorithm.is_public_key() {
        return; // public keys
    }
    for (index, secret) in shared::positioned(source) {
        if key_bytes(secret, signature) < LEAST_SECRET_BYTES {
            let key = format!("secrets[{index}]");
            let what = "less than 16 bytes: anyone who has captured one delivery can guess it";
            table.note(Severity::Warning, &key, what, None);
        }
    }
}

/// How many bytes of key a secret contains.
fn key_bytes(secret: &NamedSecret, signature: &SignatureRule) -> usize {
    let text = secret.text.expose();
    let text = text.strip_prefix(signature.key_prefix.as_bytes()).unwrap_or(text);
    match signature.key {
        KeyForm::Text => text.len(),
        KeyForm::Hex => text.len() / 2,
        KeyForm::Base64 => text.iter().filter(|&&byte| byte != b'=').count() * 3 / 4,
    }
}

fn routes(source: &Source, table: &TableReader<'_>) {
    if source.routes.is_empty() && table.get("routes").is_none() {
        let what = "no route is defined: events are verified and then dropped";
        table.note(Severity::Warning, "routes", what, None);
    }
    let any_type = |glob: &TypeGlob| glob.matches("");
    if source.sender.scheme.event.kind.is_empty() {
        for (index, route) in source.routes.iter().enumerate() {
            if !route.events.iter().any(any_type) {
                let key = format!("routes[{index}]");
                let what = "the events of this source have no type, so only \"*\" matches them; set `event.type`";
                table.note(Severity::Warning, &key, what, None);
            }
        }
    }
}
