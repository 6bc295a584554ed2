//! Reads a scheme from TOML, as in a preset or a configuration file.
//!
//! [`Scheme::preset`] and [`Scheme::from_toml`] are the entry points. The modules below are for a
//! program whose own configuration contains these tables: it gets the keys with their
//! documentation, and problems with line and column.

mod forms;
pub mod preset;
mod published;
pub mod scheme;
mod template;
mod timestamp;

use crate::presets;
use crate::scheme::Scheme;
use hookward_settings::NoSecrets;
use hookward_settings::document::{self, DocumentTable, Value};
use hookward_settings::keys::{TableKeys, optional, required};
use hookward_settings::part::ConfigPart;
use hookward_settings::problem::{Problem, TextPlace, nearest};
use hookward_settings::reading::{Reading, TableReader};
use std::path::Path;

/// The tables of a scheme.
static KEYS: TableKeys = TableKeys {
    title: "",
    about: "How a sender signs.",
    keys: &[
        required("signature", "table", "How a signature is made, and where it is in a request."),
        optional("timestamp", "table", "none", "Where the time of sending is."),
        required("event", "table", "Where id, type and time of the event are."),
        optional("handshake", "table", "none", "The handshake of the sender's protocol."),
    ],
};

/// Why a text is not a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// There is no preset of this name.
    #[error("there is no preset `{name}`{}", suggestion(nearest.as_deref()))]
    UnknownPreset {
        /// The requested name.
        name: String,
        /// The name of a similar preset.
        nearest: Option<String>,
    },
    /// The text is not TOML, or its tables are not those of a scheme. One line for each problem,
    /// with its line and column.
    #[error("{}", lines(.0))]
    Problems(Vec<String>),
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

fn lines(problems: &[String]) -> String {
    problems.join("\n")
}

impl From<Vec<Problem>> for SchemeError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(problems.iter().map(ToString::to_string).collect())
    }
}

impl Scheme {
    /// The scheme of a preset. [`presets::all`] lists them.
    ///
    /// ```
    /// # fn main() -> Result<(), hookward_verify::SchemeError> {
    /// use hookward_verify::Scheme;
    ///
    /// let github = Scheme::preset("github")?;
    /// assert_eq!(github.signature.signed.to_string(), "{body}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SchemeError::UnknownPreset`]; [`SchemeError::Problems`] for the one preset that leaves the
    /// header of the signature open (`webround`).
    pub fn preset(name: &str) -> Result<Self, SchemeError> {
        let Some(preset) = presets::named(name) else {
            let nearest = nearest(name, presets::all().map(|preset| preset.name));
            return Err(SchemeError::UnknownPreset { name: name.to_owned(), nearest });
        };
        let file = format!("{name}.toml");
        let mut tables = document::parse(preset.text, &file)?;
        // A preset's facts beyond its scheme are for the program that answers the sender.
        for name in ["preset", "secrets", "respond_within", "answers", "dedupe_ttl"] {
            tables.remove(name);
        }
        read(&tables, &file)
    }

    /// Reads a scheme from TOML: the tables `signature`, `timestamp`, `event` and `handshake`, with
    /// the keys that [`reading::scheme`](crate::reading::scheme) documents.
    ///
    /// ```
    /// # fn main() -> Result<(), hookward_verify::SchemeError> {
    /// use hookward_verify::Scheme;
    ///
    /// let scheme = Scheme::from_toml(
    ///     r#"
    ///     [signature]
    ///     header = "X-Signature"
    ///     signed = "{timestamp}.{body}"
    ///     [timestamp]
    ///     from = "header:X-Timestamp"
    ///     [event]
    ///     id = ["header:X-Event-Id", "json:/id"]
    ///     type = ["json:/type"]
    ///     "#,
    /// )?;
    /// assert!(scheme.signs_timestamp());
    ///
    /// let slip = Scheme::from_toml("[signature]\nheadr = \"X-Signature\"\n");
    /// assert!(slip.unwrap_err().to_string().contains("did you mean `header`?"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A `verify_token` is not read here, because the text could only name where it is: set it with
    /// [`Sender::with_verify_token`](crate::Sender::with_verify_token).
    ///
    /// # Errors
    /// [`SchemeError::Problems`].
    pub fn from_toml(text: &str) -> Result<Self, SchemeError> {
        const FILE: &str = "scheme.toml";
        let tables = document::parse(text, FILE)?;
        if let Some(Value::Table(handshake)) = tables.get("handshake").map(|node| &node.value)
            && handshake.get("verify_token").is_some()
        {
            let what = format!("{FILE}: handshake.verify_token: set it with `with_verify_token`");
            return Err(SchemeError::Problems(vec![what]));
        }
        read(&tables, FILE)
    }
}

fn read(tables: &DocumentTable, file: &str) -> Result<Scheme, SchemeError> {
    // A scheme has no secrets to read.
    let reading = Reading::new(file, Path::new(""), &NoSecrets, ConfigPart::Whole);
    let owner = TableReader::open(&reading, String::new(), TextPlace::default(), tables, &KEYS);
    match scheme::read(&owner) {
        (Some(scheme), _) if !reading.has_errors() => Ok(scheme),
        _ => Err(reading.into_problems().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_scheme_by_itself() {
        for preset in presets::all().filter(|preset| preset.name != "webround") {
            let read = Scheme::preset(preset.name);
            assert!(read.is_ok(), "{}: {:#?}", preset.name, read.err());
        }
    }

    #[test]
    fn each_problem_of_a_scheme_is_told_in_a_line() {
        let problems = Scheme::from_toml("[signature]\nheadr = \"X\"\n").expect_err("problems");
        assert_eq!(
            problems.to_string().lines().collect::<Vec<_>>(),
            [
                "scheme.toml: error: event: missing (allowed: a table with the places of the \
                 event's `id`, or a `preset`)",
                "scheme.toml:1:2: error: signature.header: missing (allowed: the header with the \
                 signature, such as \"X-Signature\", or `from`)",
                "scheme.toml:2:1: error: signature.headr: unknown key; did you mean `header`? \
                 (allowed: algorithm, header, from, separator, prefix, prefix_optional, encoding, \
                 signed, key, key_prefix, require, fallback_prefix, fallback_signed, \
                 jwt_algorithms, audience, issuer, claims, body_claim, token_from, components, \
                 x5c_root, x5c_markers, key_url, key_hosts, key_path)",
            ]
        );
    }

    #[test]
    fn what_a_scheme_cannot_hold_is_refused() {
        let webround = Scheme::preset("webround").expect_err("its header is not published");
        assert!(webround.to_string().contains("signature.header: missing"), "{webround}");
        let unknown = Scheme::preset("githb").expect_err("a slip");
        assert_eq!(unknown.to_string(), "there is no preset `githb`; did you mean `github`?");
        let token = "[signature]\nheader = \"X\"\n[event]\nid = [\"json:/id\"]\n\
                     [handshake]\nkind = \"meta\"\nverify_token = { env = \"TOKEN\" }\n";
        let refused = Scheme::from_toml(token).expect_err("a token that cannot be read");
        assert!(refused.to_string().contains("with_verify_token"), "{refused}");
    }
}
