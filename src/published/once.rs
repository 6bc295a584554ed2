//! Every place where keys are published, asked once: what `hookward check --online` does.

use super::client::{Ask, HttpsClient};
use crate::config::{Config, Problem, Severity};
use hookward_verify::keys::KeySet;
use std::collections::HashMap;

/// Asks each place that the configuration names, each once, and gives what is wrong. Places that are
/// asked for one key by its id, and those that requests name, are left alone.
#[must_use]
pub fn fetch_each(config: &Config, file: &str) -> Vec<Problem> {
    let client = HttpsClient::new(&config.fetch);
    let mut answers: HashMap<Ask, Result<(), String>> = HashMap::new();
    let mut problems = Vec::new();
    for source in &config.sources {
        for place in &source.sender.key_sites {
            let Some(ask) = Ask::of_set(place) else { continue };
            let answer = answers.entry(ask.clone()).or_insert_with(|| {
                client.ask(&ask).and_then(|answer| KeySet::from_json(&answer.body).map(|_| ()))
            });
            if let Err(why) = answer {
                let what = format!("its keys cannot be fetched from {}: {why}", place.url);
                let key = format!("sources.{}.secrets[{}]", source.name, place.entry);
                problems.push(Problem::new(Severity::Error, file, what).key(key));
            }
        }
    }
    problems
}
