//! Tests of the configuration as a whole.

mod defaults;
mod files;
mod mutations;
mod problems;
mod published;
mod reference;
mod schema;
mod secrets;
mod tokens;

use super::{Config, Loaded, Problem, SecretReader};
use hookward_secret::Secret;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Secrets from a test instead of the environment.
#[derive(Default)]
pub(crate) struct TestSecrets {
    environment: HashMap<String, String>,
    files: HashMap<PathBuf, String>,
}

impl TestSecrets {
    /// `SECRET` and `OTHER_SECRET` in the environment, each long enough.
    pub(crate) fn usual() -> Self {
        Self::default()
            .with("SECRET", "a-secret-of-more-than-16-bytes")
            .with("OTHER_SECRET", "another-secret-of-more-than-16-bytes")
    }

    /// The same with this environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with this file.
    pub(crate) fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(PathBuf::from(path), text.to_owned());
        self
    }
}

impl SecretReader for TestSecrets {
    fn environment(&self, name: &str) -> Option<Secret> {
        self.environment.get(name).cloned().map(Secret::from)
    }

    fn file(&self, path: &Path) -> io::Result<Secret> {
        let text = self.files.get(path).cloned().map(Secret::from);
        text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// Reads `text` as `c.toml` in `/etc/hookward`.
pub(crate) fn load_with(text: &str, secrets: &TestSecrets) -> Loaded {
    Config::parse(text, "c.toml", Path::new("/etc/hookward"), secrets)
}

/// The configuration of a text without errors, with the usual secrets.
pub(crate) fn config(text: &str) -> Config {
    match load_with(text, &TestSecrets::usual()) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{text}\n{}", lines(&problems).join("\n")),
    }
}

/// All problems of a result.
fn all(loaded: Loaded) -> Vec<Problem> {
    match loaded {
        Ok((_, problems)) | Err(problems) => problems,
    }
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
