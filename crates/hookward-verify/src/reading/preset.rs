//! The facts that a preset provides for a source.

use crate::presets::{self, Confidence};
use hookward_settings::document::{self, DocumentTable, Value};
use hookward_settings::problem::TextPlace;
use std::time::Duration;

/// A preset, read.
pub struct PresetFacts {
    /// Its name.
    pub name: &'static str,
    /// The tables of a source.
    tables: DocumentTable,
    /// How long its sender keeps retrying, if known.
    pub retry_horizon: Option<Duration>,
    /// The largest body that its sender makes, in bytes, if known.
    pub largest_body: Option<u64>,
    /// The sender's display name.
    pub title: &'static str,
    /// Its facts could not be confirmed.
    pub unconfirmed: bool,
}

/// The preset of this name.
pub fn find(name: &str) -> Option<PresetFacts> {
    let preset = presets::named(name)?;
    let mut tables = document::parse(preset.text, preset.name).ok()?;
    tables.remove("preset");
    Some(PresetFacts {
        name: preset.name,
        tables,
        retry_horizon: preset.about.retry_horizon,
        largest_body: preset.about.largest_body,
        title: &preset.about.title,
        unconfirmed: preset.about.confidence == Confidence::Unconfirmed,
    })
}

/// Keeps what the preset asks of a token beside what the source asks: `claims = { email = "…" }` must
/// not undo that the e-mail has to be verified.
fn underlay_claims(source: &mut DocumentTable, under: &DocumentTable, place: TextPlace) {
    let own = match source.get_mut("signature").map(|node| &mut node.value) {
        Some(Value::Table(signature)) => signature.get_mut("claims").map(|node| &mut node.value),
        _ => None,
    };
    let preset = match under.get("signature").map(|node| &node.value) {
        Some(Value::Table(signature)) => signature.get("claims").map(|node| &node.value),
        _ => None,
    };
    if let (Some(Value::Table(own)), Some(Value::Table(preset))) = (own, preset) {
        own.underlay(preset, place, 0);
    }
}

/// Merges a preset's tables with those of a source. The source wins key by key. If two keys exclude
/// each other, the source's key replaces the preset's other one.
pub fn underlay(source: &mut DocumentTable, preset: &PresetFacts, header: TextPlace) {
    let mut under = preset.tables.clone();
    let states = |name: &str| match source.get("signature").map(|node| &node.value) {
        Some(Value::Table(own)) => own.get(name).is_some(),
        _ => false,
    };
    if (states("header") || states("from") || states("token_from"))
        && let Some(Value::Table(signature)) = under.get_mut("signature").map(|n| &mut n.value)
    {
        signature.remove("header");
        signature.remove("from");
        signature.remove("token_from");
    }
    source.underlay(&under, header, 1);
    underlay_claims(source, &under, header);
}
