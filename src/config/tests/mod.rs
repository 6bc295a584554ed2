//! Tests of the configuration as a whole.

mod defaults;

use super::{Config, Loaded, SecretReader};
use crate::secret::Secret;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Secrets that stand in a test and not in the environment.
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

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

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

/// Reads `text` as `c.toml` in `/etc/hookward` with the usual secrets.
pub(crate) fn load(text: &str) -> Loaded {
    load_with(text, &TestSecrets::usual())
}

pub(crate) fn load_with(text: &str, secrets: &TestSecrets) -> Loaded {
    Config::parse(text, "c.toml", Path::new("/etc/hookward"), secrets)
}

/// The configuration of a text without errors.
pub(crate) fn config(text: &str) -> Config {
    match load(text) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{text}\n{}", lines(&problems).join("\n")),
    }
}

/// Every problem of a text, as printed.
pub(crate) fn problems(text: &str) -> Vec<String> {
    match load(text) {
        Ok((_, problems)) | Err(problems) => lines(&problems),
    }
}

pub(crate) fn lines(problems: &[super::Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn dump() {
    let Ok(text) = std::fs::read_to_string("/tmp/config-cases.txt") else { return };
    for case in text.split("\n---\n") {
        println!("@@{case}\n@>");
        for line in lines(&match load_with(
            case,
            &TestSecrets::usual().with("SHORT", "hunter2").with("EMPTY", ""),
        ) {
            Ok((_, p)) | Err(p) => p,
        }) {
            println!("{line}");
        }
    }
}
