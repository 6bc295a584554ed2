//! What `hookward presets` and `hookward presets NAME` print.

use hookward_time::written;
use hookward_verify::presets::{Preset, all};
use serde_json::{Value, json};

/// All presets as an aligned table: name, sender, confidence, algorithm, where the signature is.
#[must_use]
pub fn list() -> String {
    let heads = ["NAME", "SENDER", "CONFIDENCE", "ALGORITHM", "SIGNATURE"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(all().map(row)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The same for programs.
#[must_use]
pub fn list_json() -> Value {
    all().map(to_json).collect()
}

/// What is known of one preset, less its tables.
#[must_use]
pub fn to_json(preset: &'static Preset) -> Value {
    let [name, title, confidence, algorithm, signature] = row(preset);
    let retry_horizon = preset.about.retry_horizon.map(|horizon| horizon.as_secs());
    json!({
        "name": name,
        "title": title,
        "confidence": confidence,
        "algorithm": algorithm,
        "signature": signature,
        "source": preset.about.source,
        "retry_horizon_seconds": retry_horizon,
    })
}

fn row(preset: &'static Preset) -> [String; 5] {
    [
        preset.name.to_owned(),
        preset.about.title.clone(),
        preset.about.confidence.label().to_owned(),
        preset.text_of("signature", "algorithm", "hmac-sha256").to_owned(),
        preset.signature_place(),
    ]
}

/// The preset as a whole `[sources.NAME]` table to copy, with placeholders for what is the user's
/// and comments on where the facts come from.
#[must_use]
pub fn show(preset: &Preset) -> String {
    let (name, about) = (preset.name, &preset.about);
    let mut lines = vec![format!("# {}", about.title)];
    lines.push(format!(
        "# Confidence: {}, {}.",
        about.confidence.label(),
        about.confidence.meaning()
    ));
    lines.extend(about.source.iter().map(|source| format!("# Source: {source}")));
    if let Some(horizon) = about.retry_horizon {
        lines.push(format!("# Retries for {}.", written(horizon)));
    }
    if !about.unsigned.is_empty() {
        lines.push(format!("# Not covered by the signature: {}.", about.unsigned.join("; ")));
    }
    if about.batch {
        lines.push("# One body can contain several events: see docs/batches.md.".to_owned());
    }
    let id = &about.event_id;
    lines.push(format!("# Event id: {} ({}, {})", id.because, id.confidence.label(), id.source));
    lines.extend(about.notes.iter().map(|notes| format!("# {notes}")));
    lines.push(format!("# In short: preset = \"{name}\" instead of the tables below."));
    lines.push(format!("[sources.{name}]"));
    lines.push(format!("path = \"/webhooks/{name}\""));
    lines.push(format!("# {}", about.secret));
    match preset.scheme.get("secrets") {
        Some(published) => lines.push(format!("secrets = {published}")),
        None if preset.needs_secret() => {
            lines.push(format!("secrets = [{{ env = \"{}\" }}]", variable(name, "SECRET")));
        }
        None => {}
    }
    if preset.text_of("signature", "signed", "{body}").contains("{url") {
        lines.push(format!("public_url = \"https://hooks.example.com/webhooks/{name}\""));
    }
    for key in ["respond_within", "answers", "dedupe_ttl"] {
        if let Some(value) = preset.scheme.get(key) {
            lines.push(format!("{key} = {value}"));
        }
    }
    lines.push(format!(
        "\n[[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]    # one of your upstreams"
    ));
    let scheme = preset.text.lines().skip_while(|line| *line != "[signature]");
    lines.push(String::new());
    for line in scheme {
        lines.push(match line.strip_prefix('[') {
            Some(table) => format!("[sources.{name}.{table}"),
            None => line.to_owned(),
        });
        if line == "[signature]" && preset.signature_place() == "not published" {
            let comment = "# not published; `hookward discover` finds it";
            lines.push(format!("# header = \"X-…\"    {comment}"));
        }
        if line == "kind = \"meta\"" {
            lines
                .push(format!("verify_token = {{ env = \"{}\" }}", variable(name, "VERIFY_TOKEN")));
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A name for an environment variable: `gitlab-signed` and `SECRET` to `GITLAB_SIGNED_SECRET`.
fn variable(preset: &str, what: &str) -> String {
    let sender = preset.to_ascii_uppercase().replace('-', "_");
    let digit_first = sender.starts_with(|first: char| first.is_ascii_digit());
    format!("{}{sender}_{what}", if digit_first { "_" } else { "" })
}
