//! Events that wait under names which the configuration has no more.

use crate::config::Config;
use hookward_inbox::WaitingCount;
use std::collections::{BTreeMap, BTreeSet};

/// The names of a configuration under which events wait.
pub struct KnownNames<'a> {
    upstreams: BTreeSet<&'a str>,
    sources: BTreeSet<&'a str>,
}

impl<'a> KnownNames<'a> {
    /// These names.
    pub fn new(
        upstreams: impl IntoIterator<Item = &'a str>,
        sources: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self { upstreams: upstreams.into_iter().collect(), sources: sources.into_iter().collect() }
    }

    /// The names of this configuration.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        Self::new(
            config.upstreams.iter().map(|upstream| upstream.name.as_str()),
            config.sources.iter().map(|source| source.name.as_str()),
        )
    }

    /// A sentence for each other name, with how many events wait. One whose source and upstream are
    /// both gone counts twice.
    #[must_use]
    pub fn strays(&self, waiting: &[WaitingCount]) -> Vec<String> {
        let (mut upstreams, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for count in waiting {
            if !self.upstreams.contains(count.to.as_str()) {
                *upstreams.entry(&*count.to).or_insert(0) += count.events;
            }
            if !self.sources.contains(count.source.as_str()) {
                *sources.entry(&*count.source).or_insert(0) += count.events;
            }
        }
        let upstreams = upstreams.into_iter().map(|(to, events)| {
            let (events, wait) = counted(events);
            format!("{events} {wait} in the inbox for {to}, which is no longer an upstream")
        });
        let sources = sources.into_iter().map(|(source, events)| {
            let (events, wait) = counted(events);
            format!("{events} of {source} {wait} in the inbox, and {source} is no longer a source")
        });
        upstreams.chain(sources).collect()
    }
}

fn counted(events: u64) -> (String, &'static str) {
    match events {
        1 => ("1 event".to_owned(), "waits"),
        _ => (format!("{events} events"), "wait"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_known_are_not_mentioned() {
        let count = |source: &str, to: &str, events| WaitingCount {
            source: source.to_owned(),
            to: to.to_owned(),
            events,
        };
        let names = KnownNames::new(["erp"], ["shop"]);
        assert_eq!(names.strays(&[count("shop", "erp", 7)]), [""; 0]);
        let strays = names.strays(&[
            count("shop", "crm", 1),
            count("till", "crm", 2),
            count("till", "erp", 3),
        ]);
        assert_eq!(
            strays,
            [
                "3 events wait in the inbox for crm, which is no longer an upstream",
                "5 events of till wait in the inbox, and till is no longer a source",
            ]
        );
        let one = names.strays(&[count("shop", "crm", 1)]);
        assert_eq!(one, ["1 event waits in the inbox for crm, which is no longer an upstream"]);
    }
}
