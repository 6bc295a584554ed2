//! What `check` prints: the configuration in a table, and how it ends.

use super::{Config, Loaded, Problem};
use crate::source::{Mode, Source, Unrouted};
use humantime::format_duration;
use std::fmt::Write as _;

/// A table of sources, routes and upstreams, each line ended.
#[must_use]
pub fn render(config: &Config) -> String {
    let mut text = String::new();
    let sources: Vec<_> = config.sources.iter().map(source_row).collect();
    let heads = ["source", "path", "preset", "ready", "secrets", "respond within", "remembered"];
    section(&mut text, heads, &sources);
    let routes: Vec<_> = config.sources.iter().flat_map(route_rows).collect();
    section(&mut text, ["source", "events", "to", "path"], &routes);
    let upstreams: Vec<_> = config
        .upstreams
        .iter()
        .map(|upstream| {
            let urls = upstream.urls.iter().map(|url| {
                let scheme = if url.secure { "https" } else { "http" };
                format!("{scheme}://{}{}", url.authority, url.path.as_deref().unwrap_or_default())
            });
            [
                upstream.name.to_string(),
                urls.collect::<Vec<_>>().join(" "),
                format_duration(upstream.timeout).to_string(),
                format_duration(upstream.connect_timeout).to_string(),
            ]
        })
        .collect();
    section(&mut text, ["upstream", "url", "timeout", "connect timeout"], &upstreams);
    text
}

/// The problems, one a line.
#[must_use]
pub fn render_problems(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        let _ = writeln!(text, "{problem}");
        text
    })
}

/// How `check` ends: 2 on an error, else 0.
#[must_use]
pub fn exit_code(loaded: &Loaded) -> u8 {
    if loaded.is_ok() { 0 } else { 2 }
}

fn source_row(source: &Source) -> [String; 7] {
    let ready = match (&source.keys, source.mode) {
        (Ok(_), Mode::Enforce) => "yes",
        (Ok(_), Mode::Shadow) => "shadow",
        (Err(_), _) => "no: secret_unavailable",
    };
    let secrets = match &source.keys {
        Ok(_) => source.secrets.len().to_string(),
        Err(_) => "-".to_owned(),
    };
    [
        source.name.to_string(),
        source.path.clone(),
        source.preset.clone().unwrap_or_else(|| "-".to_owned()),
        ready.to_owned(),
        secrets,
        format_duration(source.respond_within).to_string(),
        format_duration(source.dedupe_ttl).to_string(),
    ]
}

fn route_rows(source: &Source) -> Vec<[String; 4]> {
    let mut rows: Vec<_> = source
        .routes
        .iter()
        .map(|route| {
            let events: Vec<_> = route.events.iter().map(crate::route::TypeGlob::as_str).collect();
            [
                source.name.to_string(),
                events.join(" "),
                route.to.join(" "),
                route.path.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let rest = match source.unrouted {
        Unrouted::Accept => "accepted, not forwarded",
        Unrouted::Reject => "rejected",
    };
    rows.push([source.name.to_string(), "(any other)".into(), rest.into(), "-".into()]);
    rows
}

/// Left-aligned columns under their heads; an empty section is left out.
fn section<const N: usize>(text: &mut String, heads: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let heads = heads.map(str::to_uppercase);
    let lines = || std::iter::once(&heads).chain(rows);
    let mut widths = [0; N];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let cells: Vec<_> = cells.collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}
