//! `[fetch]`: how Hookward fetches keys that senders publish.

use super::certificates;
use super::forms::with_file;
use hookward_settings::keys::{TableKeys, optional};
use hookward_settings::reading::TableReader;
use std::path::PathBuf;
use url::Url;

/// How keys are fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchSettings {
    /// A PEM file of CAs that are trusted in addition to the system's.
    pub ca: Option<PathBuf>,
    /// The proxy to go through.
    pub proxy: Option<String>,
}

pub(super) static KEYS: TableKeys = TableKeys {
    title: "[fetch]",
    about: "How Hookward fetches keys that senders publish: by https only, without redirects, at \
            most 256 KiB within 5 seconds.",
    keys: &[
        optional(
            "ca",
            "path",
            "only the system's CAs",
            "PEM file of CAs to trust in addition to the system's.",
        ),
        optional(
            "proxy",
            "URL",
            "none; the environment is ignored",
            "The HTTP proxy to use, such as `http://proxy:3128`.",
        ),
    ],
};

pub(super) fn read(table: Option<&TableReader<'_>>) -> FetchSettings {
    let Some(table) = table else { return FetchSettings::default() };
    let ca = table.get("ca").and_then(with_file);
    if let Some((item, path)) = &ca {
        certificates::check_authorities(item, path);
    }
    let allowed = "the URL of an HTTP proxy, such as \"http://proxy:3128\"";
    let proxy = table.get("proxy").and_then(|item| {
        let text = item.text(allowed)?;
        let sound = Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !sound {
            item.refuse("not the URL of a proxy", allowed);
        }
        sound.then(|| text.to_owned())
    });
    FetchSettings { ca: ca.map(|(_, path)| path), proxy }
}
