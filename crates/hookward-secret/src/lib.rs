//! Secrets that cannot be printed by accident.
//!
//! A [`Secret`] has no `Display`, no `==` and no serialisation, and its `Debug` shows nothing. Its
//! memory is wiped when it is dropped. Only [`Secret::expose`] returns the bytes, so a search for that
//! name finds every use.
//!
//! ```
//! use hookward_secret::Secret;
//!
//! let secret = Secret::from("hunter2");
//! assert_eq!(format!("{secret:?}"), "Secret(…)");
//! assert_eq!(secret.expose(), b"hunter2");
//! ```

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// Secret bytes that cannot be printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Do not print or log them, and do not compare them with `==`, which takes less time
    /// the earlier they differ.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// A secret from the configuration: its bytes as text, before the scheme decodes a key.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// What labels the metric: the configured `name`, else the index (0 is the newest).
    pub label: String,
    /// The text, without the line end of its file.
    pub text: Secret,
}

/// A secret in the configuration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableSecret {
    /// Its index among the configured ones; 0 is the newest.
    pub index: usize,
    /// As [`NamedSecret::label`].
    pub label: String,
    /// Why, with the name of the file or of the variable; nothing of the secret.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_by_no_format() {
        let secret = Secret::from("hunter2-hunter2".to_owned());
        let named = NamedSecret { label: "0".to_owned(), text: secret.clone() };
        for text in [
            format!("{secret:?}"),
            format!("{secret:#?}"),
            format!("{named:?}"),
            format!("{named:#?}"),
            format!("{:?}", Some(&secret)),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.contains("104"), "bytes as numbers: {text}");
        }
    }
}
