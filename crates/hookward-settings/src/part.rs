//! Which part of a configuration a command works with.
//!
//! Every part is read and judged whoever asks: a slip is a slip. What stands outside the file, in
//! the environment and in other files, has to be there for the part that is wanted only, so that
//! somebody who signs for one source on a machine of theirs needs nothing of the server's.

/// A part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigPart<'a> {
    /// All of it, as it takes to serve.
    Whole,
    /// One source: its secrets.
    Source(&'a str),
    /// The admin listener: its token.
    Admin,
    /// Where delivered ids are kept: the URL of the store.
    Store,
    /// What stands in the file alone.
    File,
}

impl ConfigPart<'_> {
    /// Whether what the key of this path names has to be there. The names of sources are bare keys.
    pub fn needs(self, key: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Source(name) => {
                key.strip_prefix("sources.").and_then(|rest| rest.strip_prefix(name)).is_some_and(
                    |rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['),
                )
            }
            Self::Admin => key.starts_with("admin."),
            Self::Store => key.starts_with("dedupe."),
            Self::File => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_needs_what_is_its_own() {
        for (part, key, needed) in [
            (ConfigPart::Whole, "server.tls.cert", true),
            (ConfigPart::Source("shop"), "sources.shop.secrets[0]", true),
            (ConfigPart::Source("shop"), "sources.shop", true),
            (ConfigPart::Source("shop"), "sources.shop-2.secrets[0]", false),
            (ConfigPart::Source("shop"), "admin.token", false),
            (ConfigPart::Admin, "admin.token", true),
            (ConfigPart::Admin, "dedupe.url", false),
            (ConfigPart::Store, "dedupe.url", true),
            (ConfigPart::Store, "admin.token", false),
            (ConfigPart::File, "admin.token", false),
        ] {
            assert_eq!(part.needs(key), needed, "{part:?} {key}");
        }
    }
}
