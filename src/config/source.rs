//! `[sources.NAME]`: a sender, with its preset's facts filled in.

mod secrets;

use self::secrets::{Secrets, keys, read_secrets};
use super::dedupe::DedupeSettings;
use super::{route, server};
use crate::delivery::headers;
use crate::delivery::source::{Answers, Mode, Source, Unrouted};
use hookward_settings::document::{DocumentTable, Value};
use hookward_settings::keys::{TableKeys, key, optional, required};
use hookward_settings::problem::{Severity, TextPlace, nearest};
use hookward_settings::reading::{Item, Reading, TableReader};
use hookward_settings::value::{PublicUrl, RequestPath};
use hookward_verify::presets;
use hookward_verify::reading::preset::{self, PresetFacts};
use hookward_verify::reading::scheme;
use hookward_verify::scheme::Scheme;
use hookward_verify::sender::Sender;
use http::HeaderName;

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[sources.NAME]",
    about: "A sender, found by the path that it posts to. `NAME` is what metrics, the log, \
            `Hookward-Source` and the dedupe store call it.",
    keys: &[
        required(
            "path",
            "path",
            "The exact bytes of the request path, without the query; no other source may have it.",
        ),
        optional(
            "preset",
            "name",
            "the scheme is described below",
            "The built-in facts about a sender. Every key that you set overrides the preset's. \
             `hookward presets` lists them.",
        ),
        optional(
            "secrets",
            "list of secrets",
            "required, unless the request carries or names its key",
            "Newest first. A signature by any of them is good. An entry can also say where the \
             sender [publishes its keys](#published-keys).",
        ),
        key(
            "respond_within",
            "duration",
            r#""10s""#,
            "How long the sender waits for an answer, less a margin, counted from the last byte \
             of the request's body. With a preset, the preset's value if it has one.",
        ),
        key(
            "answers",
            "word",
            r#""full""#,
            "`bare` answers with the status only, for a sender that accepts nothing else: no \
             body, none of the receiver's headers, any success as 200. With a preset, the \
             preset's value if it has one.",
        ),
        key(
            "unrouted",
            "word",
            r#""accept""#,
            "An event that no route takes: `accept` answers 200 and forwards nothing; `reject` \
             answers 422.",
        ),
        key(
            "mode",
            "word",
            r#""enforce""#,
            "`shadow` judges, counts and logs like `enforce`, but forwards anyway: for \
             introducing Hookward in front of a live receiver.",
        ),
        optional("allow", "list of CIDRs", "any address", "Sender addresses that are allowed."),
        optional(
            "rate_limit",
            "rate",
            "no limit",
            "`\"100/s\"` or `\"600/m\"`: a bucket that holds one period's worth, checked before \
             the body is read.",
        ),
        optional(
            "pass_headers",
            "list of header names",
            "none",
            "Headers to pass on that Hookward otherwise withholds, because receivers may take \
             them as instructions from a proxy: see [Headers that are \
             withheld](#headers-that-are-withheld).",
        ),
        optional(
            "capture",
            "integer",
            "none",
            "How many of the source's last refused deliveries to keep in memory for `hookward \
             explain --last`: 1 to 500. All sources together keep at most 32 MiB.",
        ),
        optional(
            "replay_guard",
            "word",
            "off",
            "`\"signature\"`: the signature of a delivered event is a duplicate, whatever its id. \
             For senders that do not sign the id.",
        ),
        optional(
            "public_url",
            "URL",
            "`{url}` cannot be used",
            "The exact URL that you gave to the sender; needed by `{url}` in `signed`.",
        ),
        optional(
            "dedupe_ttl",
            "duration",
            "`[dedupe].ttl`",
            "How long a delivered event id of this source is remembered.",
        ),
        optional("signature", "table", "the preset's", "See `[sources.NAME.signature]`."),
        optional(
            "timestamp",
            "table",
            "the preset's, else none",
            "See `[sources.NAME.timestamp]`.",
        ),
        optional("event", "table", "the preset's", "See `[sources.NAME.event]`."),
        optional(
            "handshake",
            "table",
            "the preset's, else none",
            "See `[sources.NAME.handshake]`.",
        ),
        optional("routes", "list of tables", "none", "See `[[sources.NAME.routes]]`."),
    ],
};

/// The most refused deliveries that a source can keep.
const MOST_CAPTURES: u64 = 500;

/// The table of a source as written, merged with its preset.
pub(super) struct Draft<'a> {
    pub(super) name: &'a str,
    key: String,
    place: TextPlace,
    table: DocumentTable,
    pub(super) preset: Option<PresetFacts>,
    /// The scheme is incomplete because its preset is unknown, which has been reported.
    preset_unknown: bool,
}

/// Merges the preset with a source's table.
pub(super) fn draft<'a>(name: &'a str, item: &Item<'_>) -> Option<Draft<'a>> {
    let own = item.table(&KEYS)?;
    route::check_name(&own, name);
    if is_half_a_name(&own) {
        return None;
    }
    let stated = own.get("preset");
    let found = stated.as_ref().map(|item| named(item));
    let mut table = own.table.clone();
    let preset = found.flatten().and_then(preset::find);
    if let Some(facts) = &preset {
        preset::underlay(&mut table, facts, own.place);
    }
    let preset_unknown = matches!(found, Some(None));
    Some(Draft { name, key: own.key.clone(), place: own.place, table, preset, preset_unknown })
}

/// Whether this table results from `[sources.my.shop]` for a source `my.shop`; one problem reports
/// it.
fn is_half_a_name(own: &TableReader<'_>) -> bool {
    let entries = &own.table.entries;
    let known = |name: &str| KEYS.names().any(|key| key == name);
    !entries.is_empty()
        && entries.iter().all(|e| matches!(e.node.value, Value::Table(_)) && !known(&e.name))
}

impl Draft<'_> {
    /// The merged table. Its own keys have been checked, so nothing is reported twice.
    pub(super) fn reader<'a>(&'a self, reading: &'a Reading<'a>) -> TableReader<'a> {
        TableReader::open_checked(reading, self.key.clone(), self.place, &self.table, &KEYS)
    }
}

/// Reads a source. `upstreams`: every name that a route may send to.
pub(super) fn read<'a>(
    draft: &'a Draft<'_>,
    reading: &'a Reading<'a>,
    dedupe: &DedupeSettings,
    upstreams: &[&str],
) -> Option<Source> {
    let table = draft.reader(reading);
    let unrouted = [("accept", Unrouted::Accept), ("reject", Unrouted::Reject)];
    let answers = [("full", Answers::Full), ("bare", Answers::Bare)];
    let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    let path = table.require("path", "the request path, such as \"/webhooks/shop\"");
    let path = path.and_then(|item| item.form::<RequestPath>());
    let public_url = table.get("public_url").and_then(|item| item.form::<PublicUrl>());
    let (scheme, no_token) = read_scheme(draft, &table);
    if let Some(why) = no_token {
        let what = format!(
            "{why}; until it can be read, the handshake is answered 503 secret_unavailable; \
             deliveries work"
        );
        table.note(Severity::Warning, "handshake", &what, None);
    }
    let guard = table.get("replay_guard").and_then(|item| item.choice(&[("signature", true)]));
    let secrets = read_secrets(&table, scheme.as_ref());
    let source = |path: RequestPath, scheme: Scheme, secrets: Secrets| {
        let Secrets { readable, unreadable, key_sites } = secrets;
        let (secrets, keys) = keys(&table, &scheme, readable, (&unreadable, &key_sites));
        let sender = Sender {
            scheme,
            secrets,
            keys,
            key_sites,
            public_url: public_url.map(|url| url.0),
            preset: draft.preset.as_ref().map(|preset| preset.name.to_owned()),
            replay_guard: guard.unwrap_or(false),
        };
        Source { unreadable, ..Source::new(draft.name, path.0, sender, dedupe.ttl) }
    };
    // Everything is read before giving up, so that every problem is reported.
    let respond_within = table.get("respond_within").and_then(|item| item.form());
    let answers = table.get("answers").and_then(|item| item.choice(&answers));
    let unrouted = table.get("unrouted").and_then(|item| item.choice(&unrouted));
    let mode = table.get("mode").and_then(|item| item.choice(&modes));
    let allow = table.get("allow").and_then(|item| allow(&item));
    let rate_limit = table.get("rate_limit").and_then(|item| item.form());
    let pass_headers = table.get("pass_headers").and_then(|item| pass_headers(&item));
    let capture = table.get("capture").and_then(|item| item.whole(1, MOST_CAPTURES));
    let capture = capture.and_then(|count| usize::try_from(count).ok());
    let ttl = table.get("dedupe_ttl").and_then(|item| item.form());
    let routes = table.get("routes").map(|item| route::read(&item, upstreams, &dedupe.store));
    let plain = source(path?, scheme?, secrets?);
    Some(Source {
        respond_within: respond_within.unwrap_or(plain.respond_within),
        answers: answers.unwrap_or(plain.answers),
        unrouted: unrouted.unwrap_or(plain.unrouted),
        mode: mode.unwrap_or(plain.mode),
        allow: allow.unwrap_or_default(),
        rate_limit,
        pass_headers: pass_headers.unwrap_or_default(),
        capture: capture.unwrap_or(plain.capture),
        dedupe_ttl: ttl.unwrap_or(plain.dedupe_ttl),
        routes: routes.unwrap_or_default(),
        ..plain
    })
}

fn named<'a>(item: &Item<'a>) -> Option<&'a str> {
    let allowed = "the name of a preset; `hookward presets` lists them";
    let name = item.text(allowed)?;
    if presets::named(name).is_some() {
        return Some(name);
    }
    let near =
        nearest(name, presets::all().map(|preset| preset.name)).map(|near| format!("{near:?}"));
    item.reading
        .note(item.problem(Severity::Error, "no such preset").suggestion(near).allowed(allowed));
    None
}

fn read_scheme(draft: &Draft<'_>, table: &TableReader<'_>) -> (Option<Scheme>, Option<String>) {
    if draft.preset_unknown {
        return (None, None);
    }
    if let Some(preset) = &draft.preset
        && matches!(table.get("signature").map(|i| &i.node.value), Some(Value::Table(_)))
        && !table.states("signature.header")
        && !table.states("signature.from")
        && !is_token(table)
    {
        let what = format!(
            "{} does not publish the header of its signature, so you must set it; `hookward \
             discover` finds it from one captured delivery and its secret",
            preset.name
        );
        table.note(Severity::Error, "signature.header", &what, None);
        return (None, None);
    }
    scheme::read(table)
}

/// Whether the scheme is a token, which has its own place.
fn is_token(table: &TableReader<'_>) -> bool {
    let algorithm = match table.get("signature").map(|item| &item.node.value) {
        Some(Value::Table(signature)) => signature.get("algorithm"),
        _ => None,
    };
    matches!(algorithm.map(|node| &node.value), Some(Value::Text(name)) if name == "jwt")
}

fn allow(item: &Item<'_>) -> Option<Vec<ipnet::IpNet>> {
    let ranges = server::ranges(item)?;
    if matches!(&item.node.value, Value::List(items) if items.is_empty()) {
        item.refuse(
            "empty: no sender would be allowed",
            "a list of CIDR ranges; without the key, any address",
        );
    }
    Some(ranges)
}

/// Only withheld headers can be let through: any other name would have no effect.
fn pass_headers(item: &Item<'_>) -> Option<Vec<HeaderName>> {
    let allowed = headers::withheld().collect::<Vec<_>>().join(", ");
    item.each("a list of header names such as [\"X-HTTP-Method-Override\"]", |item| {
        let name = item.form::<HeaderName>()?;
        if headers::is_withheld(&name) {
            return Some(name);
        }
        let near = nearest(name.as_str(), headers::withheld()).map(|near| format!("{near:?}"));
        item.reading.note(
            item.problem(Severity::Error, "not a header that is withheld")
                .suggestion(near)
                .allowed(allowed.clone()),
        );
        None
    })
}
