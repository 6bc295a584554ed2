//! Events that wait in a PostgreSQL, for several instances: the tests of [`crate::inbox`] once more, and
//! what only a shared inbox has.

mod crashes;
mod instances;
mod keeping;

#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/moving.rs"]
mod moving;
#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/order.rs"]
mod order;
#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/people.rs"]
mod people;
#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/queued.rs"]
mod queued;
#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/spill.rs"]
mod spill;
#[expect(clippy::duplicate_mod, reason = "one behaviour, two places for the events")]
#[path = "../inbox/strays.rs"]
mod strays;

use crate::inbox::{SOON, drained, order};
use crate::support::{PostgresServer, Setup, Upstream};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// What an attempt of an instance that died is, until another one takes it over.
const AFTER_CRASH: &str = "in_flight";

/// As of [`crate::inbox::ROOM_FOR_ONE`]; a row takes less than a record of the log.
const ROOM_FOR_ONE: &str = "800B";

/// As of [`crate::inbox::stored`].
fn stored(folder: &Path) -> Vec<u8> {
    let url = database(folder);
    let name = url.rsplit('/').next().unwrap();
    let ask = |text: &str| PostgresServer::shared().sql(name, text);
    let tables = ask("SELECT tablename FROM pg_tables WHERE tablename LIKE 'events_%'");
    let mut bytes = ask("SELECT encode(name, 'escape') FROM hookward.entries").into_bytes();
    for table in tables.lines() {
        let rows = ask(&format!("SELECT encode(sealed, 'escape') FROM hookward.{table}"));
        bytes.extend_from_slice(rows.as_bytes());
    }
    bytes
}

/// As of [`crate::inbox::kept`].
fn kept(erp: &Upstream, folder: &Path, delivery: &str, keys: &str) -> Setup {
    at(&erp.url(), folder, delivery, keys)
}

/// As of [`crate::inbox::at`]. An attempt is taken over 10 s after the upstream's `timeout`.
fn at(url: &str, folder: &Path, delivery: &str, keys: &str) -> Setup {
    let timeout = if keys.contains("timeout") { "" } else { "timeout = \"2s\"" };
    on(folder)
        .table(&format!("[upstreams.erp]\nurl = \"{url}\"\n{timeout}\n{keys}"))
        .shop_to(&["erp"], "")
        .table(&format!("delivery = \"{delivery}\""))
}

/// A store in a database that goes with this folder.
fn on(folder: &Path) -> Setup {
    let url = database(folder);
    Setup::new()
        .dedupe(&format!("store = \"postgres\"\nurl = \"{url}\""))
        .table("[inbox]\nkeep_dead = \"20d\"")
}

/// The URL of the database that goes with a folder.
fn database(folder: &Path) -> String {
    static KNOWN: OnceLock<Mutex<HashMap<PathBuf, String>>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let mut known = known.lock().unwrap();
    known.entry(folder.to_owned()).or_insert_with(|| PostgresServer::shared().database()).clone()
}
