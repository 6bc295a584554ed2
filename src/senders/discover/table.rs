//! Writes the result as a configuration table.

use hookward_verify::scheme::{
    Algorithm, Encoding, EventRule, KeyForm, Part, Place, SignatureRule, Template, TimestampRule,
};
use std::fmt::Write as _;

/// What a printed table calls things.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The source.
    pub source: &'a str,
    /// The environment variable that holds its secret.
    pub variable: &'a str,
}

/// A table to be printed; what is `None` is left to the preset, or to the defaults.
#[derive(Clone, Copy, Default)]
pub(super) struct Draft<'a> {
    pub(super) path: &'a str,
    pub(super) preset: Option<&'static str>,
    pub(super) public_url: Option<&'a str>,
    pub(super) signature: Option<&'a SignatureRule>,
    pub(super) timestamp: Option<&'a TimestampRule>,
    pub(super) event: Option<&'a EventRule>,
}

impl Draft<'_> {
    /// The `[sources.NAME]` table. Routes are the reader's to add.
    pub(super) fn to_toml(self, names: Names<'_>) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, names);
        out
    }

    fn write(self, out: &mut String, names: Names<'_>) -> std::fmt::Result {
        let name = names.source;
        writeln!(out, "[sources.{name}]")?;
        writeln!(out, "path = {}", quote(self.path))?;
        if let Some(preset) = self.preset {
            writeln!(out, "preset = {}", quote(preset))?;
        }
        writeln!(out, "secrets = [{{ env = {} }}]", quote(names.variable))?;
        if let Some(url) = self.public_url {
            writeln!(out, "public_url = {}", quote(url))?;
        }
        if let Some(rule) = self.signature {
            write_signature(out, name, rule)?;
        }
        if let Some(rule) = self.timestamp {
            writeln!(out, "\n[sources.{name}.timestamp]")?;
            writeln!(out, "from = {}", quote(&rule.from.to_string()))?;
            // Stated even where it is the default: a preset's own may be another.
            writeln!(out, "format = {}", quote(&rule.format.to_string()))?;
        }
        if let Some(rule) = self.event {
            self.write_event(out, name, rule)?;
        }
        Ok(())
    }

    fn write_event(self, out: &mut String, name: &str, rule: &EventRule) -> std::fmt::Result {
        writeln!(
            out,
            "\n# The places of the event are a guess: compare them with the sender's documentation."
        )?;
        writeln!(out, "[sources.{name}.event]")?;
        for (key, places) in [("id", &rule.id), ("type", &rule.kind), ("time", &rule.time)] {
            // An empty list undoes what the preset says.
            if !places.is_empty() || self.preset.is_some() {
                let places: Vec<_> = places.iter().map(|place| quote(&place.to_string())).collect();
                writeln!(out, "{key} = [{}]", places.join(", "))?;
            }
        }
        Ok(())
    }
}

fn write_signature(out: &mut String, name: &str, rule: &SignatureRule) -> std::fmt::Result {
    writeln!(out, "\n[sources.{name}.signature]")?;
    let mut line = |key: &str, value: &str| writeln!(out, "{key} = {}", quote(value));
    if rule.algorithm != Algorithm::HmacSha256 {
        line("algorithm", name_of(&Algorithm::NAMES, rule.algorithm))?;
    }
    for place in &rule.places {
        match place {
            Place::Header(header) => line("header", header.as_str())?,
            other => line("from", &other.to_string())?,
        }
    }
    if let Some(separator) = &rule.separator {
        line("separator", separator)?;
    }
    if !rule.prefix.is_empty() {
        line("prefix", &rule.prefix)?;
    }
    if rule.encoding != Encoding::Hex {
        line("encoding", name_of(&Encoding::NAMES, rule.encoding))?;
    }
    if rule.signed != Template(vec![Part::Body]) {
        line("signed", &rule.signed.to_string())?;
    }
    if rule.key != KeyForm::Text {
        line("key", name_of(&KeyForm::NAMES, rule.key))?;
    }
    if !rule.key_prefix.is_empty() {
        line("key_prefix", &rule.key_prefix)?;
    }
    Ok(())
}

/// The keys of a signature that are not as the other one has them, one `key = value` each.
pub(crate) fn signature_changes(own: &SignatureRule, other: &SignatureRule) -> Vec<String> {
    let places = |rule: &SignatureRule| {
        let shown: Vec<String> = rule
            .places
            .iter()
            .map(|place| match place {
                Place::Header(header) => quote(header.as_str()),
                other => quote(&other.to_string()),
            })
            .collect();
        let key = match rule.places.first() {
            Some(Place::Header(_)) | None => "header",
            Some(_) => "from",
        };
        match shown.as_slice() {
            [one] => format!("{key} = {one}"),
            several => format!("{key} = [{}]", several.join(", ")),
        }
    };
    let optional = |text: &Option<String>| text.as_deref().map(quote).unwrap_or_default();
    let lines = |rule: &SignatureRule| {
        [
            format!("algorithm = {}", quote(name_of(&Algorithm::NAMES, rule.algorithm))),
            places(rule),
            format!("separator = {}", optional(&rule.separator)),
            format!("prefix = {}", quote(&rule.prefix)),
            format!("encoding = {}", quote(name_of(&Encoding::NAMES, rule.encoding))),
            format!("signed = {}", quote(&rule.signed.to_string())),
            format!("key = {}", quote(name_of(&KeyForm::NAMES, rule.key))),
            format!("key_prefix = {}", quote(&rule.key_prefix)),
        ]
    };
    let changed = lines(own).into_iter().zip(lines(other)).filter(|(own, other)| own != other);
    // A separator cannot be taken away, only left out.
    changed
        .map(|(_, line)| match line.strip_prefix("separator = ") {
            Some("") => "# remove `separator`".to_owned(),
            _ => line,
        })
        .collect()
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], wanted: T) -> &'static str {
    names.iter().find(|(_, one)| *one == wanted).map_or("", |(name, _)| name)
}

fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}
