//! The text of a configuration file → a configuration, or problems of one line each.

use hookward::config::{Config, SecretReader, Severity};
use hookward_secret::Secret;
use std::path::Path;

const SECRET: &str = "never-to-be-seen-in-any-output";

struct Fixed;

impl SecretReader for Fixed {
    fn environment(&self, name: &str) -> Option<Secret> {
        (name != "NOT_SET").then(|| Secret::from(SECRET.to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Never a panic, never a line break or a secret in a problem, an error wherever there is no
/// configuration and none wherever there is one.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Certificates are looked for where they are said to be; nothing there is for a fuzzer.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let loaded = Config::parse(text, "fuzz.toml", Path::new("/nowhere"), &Fixed);
    let is_config = loaded.is_ok();
    let problems = match loaded {
        Ok((config, problems)) => {
            for source in &config.sources {
                assert!(source.path.starts_with('/'));
                for name in source.routes.iter().flat_map(|route| &route.to) {
                    assert!(config.upstreams.iter().any(|upstream| upstream.name == *name));
                }
                assert!(source.routes.iter().all(|route| !route.to.is_empty()));
            }
            problems
        }
        Err(problems) => problems,
    };
    let is_error = |problem: &hookward::config::Problem| problem.severity == Severity::Error;
    assert_eq!(is_config, !problems.iter().any(is_error));
    for problem in &problems {
        let line = problem.to_string();
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(!line.contains(SECRET), "{line}");
    }
}
