//! What is known of events, kept on a disk or shared by way of a Redis or a PostgreSQL.

mod crashes;
mod disk;
mod full_disk;
mod instances;
mod lookups;
mod postgres;
mod redis;

use crate::support::{Setup, Upstream};
use std::path::Path;

/// The shop's proxy with a store in this folder.
fn on_disk(erp: &Upstream, folder: &Path) -> Setup {
    Setup::shop(erp).dedupe(&disk(folder))
}

/// The keys of a store in this folder.
fn disk(folder: &Path) -> String {
    format!("store = \"disk\"\npath = \"{}\"", folder.display())
}

/// The keys of a store at this URL.
fn shared(url: &str) -> String {
    format!("store = \"redis\"\nurl = \"{url}\"")
}
