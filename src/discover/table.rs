//! What was found, as the table that a configuration takes.

use super::Found;
use crate::scheme::{Algorithm, Encoding, KeyForm, Part, Place, Template, TimeFormat};
use std::fmt::Write as _;

impl Found {
    /// The `[sources.NAME]` table, ready to paste; its secret is read from the environment
    /// variable `env`. Routes are the reader's to add.
    #[must_use]
    pub fn to_toml(&self, name: &str, env: &str) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, name, env);
        out
    }

    fn write(&self, out: &mut String, name: &str, env: &str) -> std::fmt::Result {
        let name = quote_key(name);
        writeln!(out, "[sources.{name}]")?;
        writeln!(out, "path = {}", quote(&self.path))?;
        if let Some(preset) = self.preset {
            writeln!(out, "preset = {}", quote(preset))?;
        }
        writeln!(out, "secrets = [{{ env = {} }}]", quote(env))?;
        if let Some(url) = &self.public_url {
            writeln!(out, "public_url = {}", quote(url))?;
        }
        // A whole preset says the rest; Webround's lacks the signature alone.
        if self.preset.is_none_or(|preset| preset == "webround") {
            self.write_signature(out, &name)?;
        }
        if self.preset.is_none() {
            self.write_timestamp(out, &name)?;
            self.write_event(out, &name)?;
        }
        Ok(())
    }

    fn write_signature(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let rule = &self.scheme.signature;
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

    fn write_timestamp(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let Some(rule) = &self.scheme.timestamp else { return Ok(()) };
        writeln!(out, "\n[sources.{name}.timestamp]")?;
        writeln!(out, "from = {}", quote(&rule.from.to_string()))?;
        if rule.format != TimeFormat::Unix {
            writeln!(out, "format = {}", quote(&rule.format.to_string()))?;
        }
        Ok(())
    }

    fn write_event(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let event = &self.scheme.event;
        writeln!(
            out,
            "\n# What the event is called is a guess: compare it with the sender's page."
        )?;
        writeln!(out, "[sources.{name}.event]")?;
        for (key, places) in [("id", &event.id), ("type", &event.kind), ("time", &event.time)] {
            if !places.is_empty() {
                let places: Vec<_> = places.iter().map(|place| quote(&place.to_string())).collect();
                writeln!(out, "{key} = [{}]", places.join(", "))?;
            }
        }
        Ok(())
    }
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], wanted: T) -> &'static str {
    names.iter().find(|(_, one)| *one == wanted).map_or("", |(name, _)| name)
}

fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn quote_key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { quote(name) }
}
