//! The output of `check`: the configuration as tables, and the exit code.

use super::{Config, Loaded};
use crate::delivery::route::TypeGlob;
use crate::delivery::source::{Mode, Source, Unrouted};
use hookward_names::UpstreamName;
use hookward_time::written;
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
                written(upstream.timeout),
                written(upstream.connect_timeout),
            ]
        })
        .collect();
    section(&mut text, ["upstream", "url", "timeout", "connect timeout"], &upstreams);
    text
}

/// The exit code of `check`: 2 on an error, otherwise 0.
#[must_use]
pub fn exit_code(loaded: &Loaded) -> u8 {
    if loaded.is_ok() { 0 } else { 2 }
}

fn source_row(source: &Source) -> [String; 7] {
    let ready = match (&source.sender.keys, source.mode) {
        (Ok(_), Mode::Enforce) => "yes",
        (Ok(_), Mode::Shadow) => "shadow",
        (Err(_), _) => "no: secret_unavailable",
    };
    let secrets = match &source.sender.keys {
        Ok(_) if source.sender.has_published_keys() => "published".to_owned(),
        Ok(_) => source.sender.secrets.len().to_string(),
        Err(_) => "-".to_owned(),
    };
    [
        source.name.to_string(),
        source.path.clone(),
        source.sender.preset.clone().unwrap_or_else(|| "-".to_owned()),
        ready.to_owned(),
        secrets,
        written(source.respond_within),
        written(source.dedupe_ttl),
    ]
}

fn route_rows(source: &Source) -> Vec<[String; 4]> {
    let mut rows: Vec<_> = source
        .routes
        .iter()
        .map(|route| {
            let events: Vec<_> = route.events.iter().map(TypeGlob::as_str).collect();
            [
                source.name.to_string(),
                events.join(" "),
                route.to.iter().map(UpstreamName::as_str).collect::<Vec<_>>().join(" "),
                route.path.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    if source.routes.iter().flat_map(|route| &route.events).any(|glob| glob.covers(&every())) {
        return rows;
    }
    let rest = match source.unrouted {
        Unrouted::Accept => "accepted, not forwarded",
        Unrouted::Reject => "rejected",
    };
    rows.push([source.name.to_string(), "(any other)".into(), rest.into(), "-".into()]);
    rows
}

fn every() -> TypeGlob {
    TypeGlob::new("*")
}

/// Left-aligned columns under their heads; an empty section is left out.
pub(crate) fn section<const N: usize>(text: &mut String, heads: [&str; N], rows: &[[String; N]]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{TestSecrets, config, load_with};

    #[test]
    fn the_report_shows_sources_routes_and_upstreams() {
        let config = config(
            r#"
            [upstreams.erp]
            url = "http://127.0.0.1:9001"
            [upstreams.crm]
            urls = ["https://a.example/hooks", "https://b.example:8443/hooks"]
            timeout = "5s"
            [sources.shop]
            path = "/webhooks/shop"
            preset = "opentiendas"
            secrets = [{ env = "SECRET" }, { env = "OTHER_SECRET" }]
            routes = [
              { events = ["order.*", "review.created"], to = ["erp", "crm"], path = "/in" },
            ]
            [sources.all]
            path = "/all"
            preset = "stripe"
            secrets = [{ env = "SECRET" }]
            mode = "shadow"
            routes = [{ events = ["*"], to = ["erp"] }]
            [sources.own]
            path = "/own"
            secrets = [{ env = "NOT_SET" }]
            unrouted = "reject"
            signature = { header = "X-Own" }
            event = { id = ["json:/id"], type = ["json:/type"] }
            "#,
        );
        let expected = "\
SOURCE  PATH            PRESET       READY                   SECRETS  RESPOND WITHIN  REMEMBERED
shop    /webhooks/shop  opentiendas  yes                     2        4500ms          96h
all     /all            stripe       shadow                  1        10s             96h
own     /own            -            no: secret_unavailable  -        10s             96h

SOURCE  EVENTS                  TO                       PATH
shop    order.* review.created  erp crm                  /in
shop    (any other)             accepted, not forwarded  -
all     *                       erp                      -
own     (any other)             rejected                 -

UPSTREAM  URL                                                   TIMEOUT  CONNECT TIMEOUT
erp       http://127.0.0.1:9001                                 30s      1s
crm       https://a.example/hooks https://b.example:8443/hooks  5s       1s
";
        assert_eq!(render(&config), expected);
    }

    #[test]
    fn check_fails_on_errors_and_on_nothing_else() {
        let good =
            "[sources.s]\npath = \"/s\"\npreset = \"stripe\"\nsecrets = [{ env = \"NOT_SET\" }]\n";
        for (text, code) in [(good, 0), ("", 2), ("[sources]\n", 2), ("[server]\nthread = 1\n", 2)]
        {
            let loaded = load_with(text, &TestSecrets::usual());
            assert_eq!(exit_code(&loaded), code, "{text}");
        }
    }
}
