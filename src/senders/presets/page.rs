//! `docs/senders.md`, written from the data.

use super::UNREACHED;
use hookward_time::written;
use hookward_verify::presets::{Preset, all};
use std::fmt::Write as _;

const HEAD: &str = "\
# Senders

*Written from `presets/*.toml`; a test keeps it current. Do not edit it by hand.*

Each name below is a preset: `preset = \"NAME\"` in a `[sources.…]` table. You can override every key.
`hookward presets NAME` prints a preset as TOML to copy.

The columns mean:

- **signed**: the text that the signature covers. `{body}` is the raw bytes of the body, `{timestamp}` the
  text as received.
- **age**: how old a delivery may be, if the scheme has a time. `–` means that it has none, so that only
  the event id stops replays.
- **id**: where the event id is read; the first place that exists wins. `body-sha256` is the hash of the
  body, for senders without an id; see [batches](batches.md) for its limits. Places in braces are joined.
  The notes say what each id identifies, where that is documented, and how certain it is. \\* marks an id
  that the signature does not cover: anyone who has one genuine delivery can send it again under another
  id, which `replay_guard = \"signature\"` stops.
- **retries**: how long the sender keeps retrying; remember ids for longer (`dedupe.ttl`).
- **facts**: *primary*, from the sender's own documentation or test suite; *secondary*, from receivers'
  code or quotations of the documentation; *unconfirmed*, not confirmed in an important point: test one
  real delivery with `hookward explain` first.
";

const PINS: &str = "
## What is pinned for senders that publish their keys

With a shared secret, a signature proves two things: who made the delivery, and that it is for you.
A key that a sender publishes proves the first alone. The sender signs for all its customers, and
anybody can become one, so the rest has to be pinned by the configuration:

- **where keys come from**: a URL, or hosts and a path where the delivery itself names its certificate.
  Otherwise a stranger's delivery would bring a stranger's key.
- **the algorithm**: a token's own `alg` is never believed.
- **the root** that a chain of certificates has to end at: any authority can sign some chain.
- **the issuer**, where one set of keys signs for many, and **the audience**: a token for another
  receiver is genuine too.
- **whose event it is** (`claims`): anybody with an account can have genuine deliveries sent to your URL.

`hookward check` warns of what is left open, and `hookward discover --key` writes what one delivery says.

| preset | pinned by the preset | for you to state |
|---|---|---|
";

/// The page on all senders, as Markdown.
#[must_use]
pub fn senders_page() -> String {
    let mut page = HEAD.to_owned();
    let _ = write!(
        page,
        "\n{} presets.\n\n| preset | sender | signature | signed | age | id | retries | facts |\n\
         |---|---|---|---|---|---|---|---|\n",
        all().len()
    );
    for preset in all() {
        page.push_str(&row(preset));
    }
    page.push_str(&pins());
    page.push_str("\n## Notes on each\n");
    for preset in all() {
        page.push_str(&notes(preset));
    }
    page.push_str("\n## Senders without a preset\n\n| sender | why | instead |\n|---|---|---|\n");
    for unreached in UNREACHED {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            unreached.sender,
            cell(unreached.because),
            cell(unreached.instead)
        );
    }
    page
}

fn row(preset: &Preset) -> String {
    let prefix = preset.text_of("signature", "prefix", "");
    let algorithm = preset.text_of("signature", "algorithm", "hmac-sha256");
    let token = matches!(algorithm, "token" | "jwt");
    let own = match algorithm {
        "token" => "text",
        "jwt" => "base64url",
        _ => "hex",
    };
    let encoding = match algorithm {
        "jwt" => own,
        _ => preset.text_of("signature", "encoding", own),
    };
    let signed = match preset.text_of("signature", "signed", "{body}") {
        _ if algorithm == "jwt" => signed_by_token(preset).to_owned(),
        _ if token => "–".to_owned(),
        long if long.len() > 60 => "see below".to_owned(),
        signed => code(signed),
    };
    let ids: Vec<String> = preset.texts_of("event", "id").into_iter().map(code).collect();
    let unsigned_id = preset.about.unsigned.iter().any(|what| what == "event id");
    let horizon = preset.about.retry_horizon.map(written);
    format!(
        "| [`{name}`](#{name}) | {title} | {place}, {algorithm}, {written} | {signed} | {age} | {ids}{mark} | {horizon} | {facts} |\n",
        name = preset.name,
        title = cell(&preset.about.title),
        place = code(&preset.signature_place()),
        written = if prefix.is_empty() {
            encoding.to_owned()
        } else {
            format!("{} {encoding}", code(prefix))
        },
        age = match preset.scheme.get("timestamp") {
            None => "–",
            Some(_) => preset.text_of("timestamp", "max_age", "5m"),
        },
        ids = ids.join(", "),
        mark = if unsigned_id { " \\*" } else { "" },
        horizon = horizon.unwrap_or_else(|| "–".to_owned()),
        facts = preset.about.confidence.label(),
    )
}

/// What a token proves of the request that carries it.
fn signed_by_token(preset: &Preset) -> &'static str {
    match (preset.fact("signature", "body_claim"), preset.fact("signature", "token_from")) {
        (Some(_), _) => "the token, and a hash of the body in it",
        (None, Some(_)) => "the token, which is the event",
        (None, None) => "the token alone",
    }
}

/// What must be pinned for senders that publish their keys, and why.
fn pins() -> String {
    let mut text = PINS.to_owned();
    for preset in all().filter(|preset| preset.has_published_keys()) {
        let (own, yours) = (pinned_by_preset(preset), pinned_by_user(preset));
        let _ = writeln!(
            text,
            "| [`{0}`](#{0}) | {1} | {2} |",
            preset.name,
            own.join("; "),
            yours.join("; ")
        );
    }
    text
}

fn pinned_by_preset(preset: &Preset) -> Vec<String> {
    let mut own = Vec::new();
    let sites = preset.scheme.get("secrets").and_then(toml::Value::as_array);
    for site in sites.into_iter().flatten() {
        own.extend(
            site.get("jwks")
                .and_then(toml::Value::as_str)
                .map(|url| format!("keys from {}", code(url))),
        );
    }
    let hosts = preset.texts_of("signature", "key_hosts");
    if !hosts.is_empty() {
        let hosts: Vec<String> = hosts.into_iter().map(code).collect();
        let path = code(preset.text_of("signature", "key_path", ""));
        own.push(format!("certificates on {} under {path}", hosts.join(", ")));
    }
    for (key, what) in [
        ("jwt_algorithms", "algorithm"),
        ("issuer", "issuer"),
        ("body_claim", "hash of the body in the claim"),
        ("x5c_markers", "marks of the certificates"),
    ] {
        let texts: Vec<String> = preset.texts_of("signature", key).into_iter().map(code).collect();
        if !texts.is_empty() {
            own.push(format!("{what} {}", texts.join(", ")));
        }
    }
    if let Some(claims) = preset.fact("signature", "claims") {
        own.push(format!("claims {}", code(&claims.to_string())));
    }
    own
}

fn pinned_by_user(preset: &Preset) -> Vec<String> {
    let is_jwt = preset.text_of("signature", "algorithm", "") == "jwt";
    let has_set = preset.scheme.contains_key("secrets");
    let mut yours = Vec::new();
    if preset.needs_root() {
        yours.push("`x5c_root`".to_owned());
    }
    if is_jwt && has_set {
        if preset.texts_of("signature", "issuer").is_empty() {
            yours.push("`issuer`".to_owned());
        }
        yours.push("`audience`".to_owned());
    }
    let whose: Vec<String> = preset.about.whose.iter().map(|name| code(name)).collect();
    if !whose.is_empty() {
        yours.push(format!("`claims` with {}", whose.join(" or ")));
    }
    if preset.needs_secret() {
        let what = if is_jwt {
            "where its keys are, with your credentials"
        } else {
            "the id of your webhook"
        };
        yours.push(format!("`secrets`: {what}"));
    }
    yours
}

fn notes(preset: &Preset) -> String {
    let about = &preset.about;
    let mut text = format!("\n### {}\n\n{}. {}\n", preset.name, about.title, about.secret);
    let signed = preset.text_of("signature", "signed", "{body}");
    if signed.len() > 60 {
        let _ = write!(text, "\nSigned: {}\n", code(signed));
    }
    if let Some(notes) = &about.notes {
        let _ = write!(text, "\n{notes}\n");
    }
    if !about.unsigned.is_empty() {
        let _ = write!(text, "\nNot covered by the signature: {}.\n", about.unsigned.join("; "));
    }
    let id = &about.event_id;
    let _ = write!(
        text,
        "\nEvent id ({}): {} From: {}\n",
        id.confidence.label(),
        id.because,
        link(&id.source)
    );
    if about.batch {
        text.push_str("\nOne body can contain several events: see [batches](batches.md).\n");
    }
    if let Some(kind) = preset.fact("handshake", "kind").and_then(toml::Value::as_str) {
        let _ = write!(text, "\nHookward answers its handshake (`{kind}`).\n");
    }
    if let Some(timeout) = about.timeout {
        let _ = write!(text, "\nWaits {} for an answer.\n", written(timeout));
    }
    let sources: Vec<String> = about.source.iter().map(|source| link(source)).collect();
    let _ = write!(text, "\nFrom: {}\n", sources.join(", "));
    text
}

/// A source as a link; the part in brackets after the URL stays text.
fn link(source: &str) -> String {
    match source.split_once(" (") {
        Some((url, file)) => format!("<{url}> ({file}"),
        None => format!("<{source}>"),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// Text that does not end a table's cell or row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
