//! The facts that a preset lays under a source.

use super::document::{self, Table, Value};
use super::problem::Place;
use super::value::Form as _;
use std::time::Duration;

/// A preset, read.
pub(super) struct PresetFacts {
    /// The tables of a source.
    pub(super) tables: Table,
    /// How long its sender goes on retrying, if that is known.
    pub(super) retry_horizon: Option<Duration>,
    /// Its facts rest on nothing that could be read.
    pub(super) unconfirmed: bool,
}

const TEXTS: [(&str, &str); 6] = [
    ("github", include_str!("../../presets/github.toml")),
    ("opentiendas", include_str!("../../presets/opentiendas.toml")),
    ("shopify", include_str!("../../presets/shopify.toml")),
    ("standard-webhooks", include_str!("../../presets/standard-webhooks.toml")),
    ("stripe", include_str!("../../presets/stripe.toml")),
    ("webround", include_str!("../../presets/webround.toml")),
];

/// The names of all presets.
pub(super) fn names() -> Vec<&'static str> {
    TEXTS.iter().map(|&(name, _)| name).collect()
}

/// The preset of this name.
pub(super) fn find(name: &str) -> Option<PresetFacts> {
    let &(_, text) = TEXTS.iter().find(|&&(known, _)| known == name)?;
    let mut tables = document::parse(text, name).ok()?;
    let meta = match tables.get("preset").map(|node| &node.value) {
        Some(Value::Table(meta)) => meta.clone(),
        _ => Table::default(),
    };
    tables.remove("preset");
    let text = |name| match meta.get(name).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    Some(PresetFacts {
        retry_horizon: text("retry_horizon").and_then(|text| Duration::parse(text).ok()),
        unconfirmed: text("confidence") == Some("unconfirmed"),
        tables,
    })
}

/// Lays a preset's tables under those of a source. What the source states wins key by key; one of
/// two keys that exclude each other takes the place of the preset's other one.
pub(super) fn underlay(source: &mut Table, preset: &PresetFacts, header: Place) {
    let mut under = preset.tables.clone();
    let states = |name: &str| match source.get("signature").map(|node| &node.value) {
        Some(Value::Table(own)) => own.get(name).is_some(),
        _ => false,
    };
    if (states("header") || states("from"))
        && let Some(entry) = under.entries.iter_mut().find(|entry| entry.name == "signature")
        && let Value::Table(signature) = &mut entry.node.value
    {
        signature.remove("header");
        signature.remove("from");
    }
    source.underlay(&under, header, 1);
}
