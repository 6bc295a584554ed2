//! Writes the result as a configuration table.

use hookward_verify::scheme::{
    Algorithm, Encoding, EventRule, KeyForm, Part, Place, SignatureRule, Template, TimestampRule,
};
use std::fmt::Write as _;

/// What a printed table calls things.
#[derive(Clone, Copy, Debug)]
pub struct MemberNames<'a> {
    /// The source.
    pub source: &'a str,
    /// The environment variable that holds its secret.
    pub variable: &'a str,
    /// The file that holds its public key or certificate; empty where the key is a secret.
    pub file: &'a str,
    /// Whether what verifies is in the file and not in the variable.
    pub is_in_file: bool,
}

impl<'a> MemberNames<'a> {
    /// Of a source whose secret is in a variable.
    #[must_use]
    pub const fn of_secret(source: &'a str, variable: &'a str) -> Self {
        Self { source, variable, file: "", is_in_file: false }
    }

    /// The same names, for a table that needs the secret beside the file.
    pub(super) const fn with_key_in_variable(self) -> Self {
        Self { is_in_file: false, ..self }
    }

    /// The value of `secrets`.
    pub(super) fn secrets(self) -> String {
        if self.is_in_file {
            return format!("[{{ file = {} }}]", quote(self.file));
        }
        format!("[{{ env = {} }}]", quote(self.variable))
    }
}

/// A table to be printed; what is `None` is left to the preset, or to the defaults.
#[derive(Clone, Copy, Default)]
pub(super) struct SchemeDraft<'a> {
    pub(super) path: &'a str,
    pub(super) preset: Option<&'static str>,
    pub(super) public_url: Option<&'a str>,
    pub(super) signature: Option<&'a SignatureRule>,
    pub(super) timestamp: Option<&'a TimestampRule>,
    pub(super) event: Option<&'a EventRule>,
}

impl SchemeDraft<'_> {
    /// The `[sources.NAME]` table. Routes are the reader's to add.
    pub(super) fn to_toml(self, names: MemberNames<'_>) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, names);
        out
    }

    fn write(self, out: &mut String, names: MemberNames<'_>) -> std::fmt::Result {
        let name = names.source;
        writeln!(out, "[sources.{name}]")?;
        writeln!(out, "path = {}", quote(self.path))?;
        if let Some(preset) = self.preset {
            writeln!(out, "preset = {}", quote(preset))?;
        }
        writeln!(out, "secrets = {}", names.secrets())?;
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
            write_event(out, name, rule, self.preset.is_some())?;
        }
        Ok(())
    }
}

/// The `event` table of a source; an empty list undoes what its preset says.
pub(super) fn write_event(
    out: &mut String,
    name: &str,
    rule: &EventRule,
    has_preset: bool,
) -> std::fmt::Result {
    writeln!(out, "\n# What the event is called is a guess: compare it with the sender's page.")?;
    writeln!(out, "[sources.{name}.event]")?;
    for (key, places) in [("id", &rule.id), ("type", &rule.kind), ("time", &rule.time)] {
        if !places.is_empty() || has_preset {
            let places: Vec<_> = places.iter().map(|place| quote(&place.to_string())).collect();
            writeln!(out, "{key} = [{}]", places.join(", "))?;
        }
    }
    Ok(())
}

fn write_signature(out: &mut String, name: &str, rule: &SignatureRule) -> std::fmt::Result {
    writeln!(out, "\n[sources.{name}.signature]")?;
    signature_keys(rule).iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))
}

/// The keys of a signature that are not the defaults, with their values as TOML.
pub(super) fn signature_keys(rule: &SignatureRule) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    let mut line = |key: &'static str, value: &str| keys.push((key, quote(value)));
    if rule.algorithm != Algorithm::HmacSha256 {
        line("algorithm", name_of(&Algorithm::NAMES, rule.algorithm));
    }
    for place in &rule.places {
        match place {
            Place::Header(header) => line("header", header.as_str()),
            other => line("from", &other.to_string()),
        }
    }
    if let Some(separator) = &rule.separator {
        line("separator", separator);
    }
    if !rule.prefix.is_empty() {
        line("prefix", &rule.prefix);
    }
    if rule.encoding != Encoding::Hex {
        line("encoding", name_of(&Encoding::NAMES, rule.encoding));
    }
    if rule.signed != Template(vec![Part::Body]) {
        line("signed", &rule.signed.to_string());
    }
    if rule.key != KeyForm::Text {
        line("key", name_of(&KeyForm::NAMES, rule.key));
    }
    if !rule.key_prefix.is_empty() {
        line("key_prefix", &rule.key_prefix);
    }
    keys
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

pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}
