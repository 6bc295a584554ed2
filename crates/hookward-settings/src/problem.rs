//! Problems of a configuration, described so that the user can fix them.
//!
//! A problem never contains a line of the file, because the line may contain a secret. It contains
//! the value of one key, unless that key is a secret.

use std::fmt::{self, Write as _};

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing can serve with this.
    Error,
    /// It serves, but something is less safe, or less there, than it looks.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it in a problem's line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextPlace {
    /// Counted from 1; 0 if the problem is with the file as a whole.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

/// One thing that is wrong, or worth knowing, in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was named to us.
    pub file: String,
    /// Where in the file.
    pub place: TextPlace,
    /// The key's path, as `sources.shop.routes[0].to`; empty if there is none.
    pub key: String,
    /// The value as TOML, shortened if long; `None` if it is secret or absent.
    pub value: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    /// What would have been right.
    pub allowed: Option<String>,
}

impl Problem {
    /// A problem with nothing but its file and what is wrong.
    #[must_use]
    pub fn new(severity: Severity, file: &str, what: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            place: TextPlace::default(),
            key: String::new(),
            value: None,
            what: what.into(),
            suggestion: None,
            allowed: None,
        }
    }

    /// The same problem at this place.
    #[must_use]
    pub fn at(self, place: TextPlace) -> Self {
        Self { place, ..self }
    }

    /// The same problem with the path of its key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// The same problem with the value that was found.
    #[must_use]
    pub fn value(self, value: Option<String>) -> Self {
        Self { value, ..self }
    }

    /// The same problem with what was probably meant.
    #[must_use]
    pub fn suggestion(self, suggestion: Option<String>) -> Self {
        Self { suggestion, ..self }
    }

    /// The same problem with what would have been right.
    #[must_use]
    pub fn allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: Some(allowed.into()), ..self }
    }
}

/// `FILE:LINE:COLUMN: SEVERITY: KEY = VALUE: WHAT; did you mean SUGGESTION? (allowed: ALLOWED)`,
/// each part where there is one, in one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.place.line > 0 {
            write!(f, "{}:{}:", self.place.line, self.place.column)?;
        }
        write!(f, " {}: ", self.severity.label())?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message())
    }
}

impl Problem {
    /// What is wrong, what was probably meant and what is allowed, in a sentence.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = self.what.clone();
        if let Some(suggestion) = &self.suggestion {
            _ = write!(message, "; did you mean `{suggestion}`?");
        }
        if let Some(allowed) = &self.allowed {
            _ = write!(message, " (allowed: {allowed})");
        }
        message
    }
}

/// The one of `candidates` that `typed` is most likely a slip of, if any is near.
#[must_use]
pub fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let typed = typed.to_lowercase();
    let reach = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, candidate), candidate))
        .filter(|&(distance, _)| distance <= reach)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_whatever_is_known() {
        let bare = Problem::new(Severity::Error, "a.toml", "not there");
        assert_eq!(bare.to_string(), "a.toml: error: not there");
        let full = Problem::new(Severity::Warning, "a.toml", "not a size")
            .at(TextPlace { line: 3, column: 12 })
            .key("server.max_body")
            .value(Some("5".to_owned()))
            .suggestion(Some("\"5B\"".to_owned()))
            .allowed("a size");
        assert_eq!(
            full.to_string(),
            "a.toml:3:12: warning: server.max_body = 5: not a size; did you mean `\"5B\"`? \
             (allowed: a size)"
        );
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["path", "preset", "respond_within", "allow"];
        for (typed, expected) in [
            ("respond_wihin", Some("respond_within")),
            ("Preset", Some("preset")),
            ("pathh", Some("path")),
            ("allwo", Some("allow")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known).as_deref(), expected, "{typed}");
        }
    }
}
