//! A table to be printed and tried, for schemes with published keys.

use super::super::table::{MemberNames, quote, write_event};
use crate::request::RequestHead;
use hookward_verify::scheme::EventRule;
use std::fmt::Write as _;

/// A `[sources.NAME]` table; what it leaves out is the preset's, or the default.
#[derive(Clone, Default)]
pub(super) struct Proposal {
    pub(super) preset: Option<&'static str>,
    /// The value of `secrets`, as TOML.
    pub(super) secrets: Option<String>,
    pub(super) public_url: Option<String>,
    /// Keys of `signature` with their values, as TOML.
    pub(super) signature: Vec<(&'static str, String)>,
    /// The same of `timestamp`.
    pub(super) timestamp: Vec<(&'static str, String)>,
    pub(super) event: Option<EventRule>,
    /// What the reader has to know, a comment each.
    pub(super) remarks: Vec<String>,
}

impl Proposal {
    /// Adds a key of `signature` whose value is a text.
    pub(super) fn state(&mut self, key: &'static str, value: &str) {
        self.signature.push((key, quote(value)));
    }

    pub(super) fn to_toml(&self, head: &RequestHead, names: MemberNames<'_>) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        _ = self.write(&mut out, head, names);
        out
    }

    fn write(
        &self,
        out: &mut String,
        head: &RequestHead,
        names: MemberNames<'_>,
    ) -> std::fmt::Result {
        let name = names.source;
        for remark in &self.remarks {
            writeln!(out, "# {remark}")?;
        }
        writeln!(out, "[sources.{name}]\npath = {}", quote(&head.path))?;
        if let Some(preset) = self.preset {
            writeln!(out, "preset = {}", quote(preset))?;
        }
        if let Some(secrets) = &self.secrets {
            writeln!(out, "secrets = {secrets}")?;
        }
        if let Some(url) = &self.public_url {
            writeln!(out, "public_url = {}", quote(url))?;
        }
        for (table, keys) in [("signature", &self.signature), ("timestamp", &self.timestamp)] {
            if keys.is_empty() {
                continue;
            }
            writeln!(out, "\n[sources.{name}.{table}]")?;
            for (key, value) in keys {
                writeln!(out, "{key} = {value}")?;
            }
        }
        match &self.event {
            Some(rule) => write_event(out, name, rule, self.preset.is_some()),
            None => Ok(()),
        }
    }
}

/// Texts as a TOML list.
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quote).collect();
    format!("[{}]", texts.join(", "))
}
