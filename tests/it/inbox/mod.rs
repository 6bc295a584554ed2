//! Events that wait: `delivery = "spill"` and `"queued"`.

mod attestation;
mod configuration;
mod credentials;
pub mod guard;
mod moving;
mod order;
mod people;
mod queued;
mod spill;
mod strays;
pub mod trials;

use crate::support::{
    Delivery, SHOP_SECRET, Setup, Upstream, eventually, hmac_sha256_hex, rfc3339_in,
};
use std::path::Path;

/// The source `shop` with this `delivery` to `erp`, whose further keys these are.
pub fn kept(erp: &Upstream, folder: &Path, delivery: &str, keys: &str) -> Setup {
    at(&erp.url(), folder, delivery, keys)
}

/// The same with an upstream at this URL.
pub fn at(url: &str, folder: &Path, delivery: &str, keys: &str) -> Setup {
    on(folder)
        .table(&format!("[upstreams.erp]\nurl = \"{url}\"\n{keys}"))
        .shop_to(&["erp"], "")
        .table(&format!("delivery = \"{delivery}\""))
}

/// A disk store in this folder, whose inbox takes events however full the disk is.
pub fn on(folder: &Path) -> Setup {
    let folder = folder.join("data");
    Setup::new()
        .dedupe(&format!("store = \"disk\"\npath = {:?}", folder.display().to_string()))
        .table("[inbox]\nmin_free = \"1B\"")
}

/// The state of an entry whose attempt a crash cut off, until it is sent again.
pub const AFTER_CRASH: &str = "waiting";

/// Room for one order, and not for two.
pub const ROOM_FOR_ONE: &str = "1500B";

/// All bytes that are stored.
pub fn stored(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder.join("data/inbox")).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default()).collect()
}

/// An impatient retry, so that no test waits.
pub const SOON: &str = "retry = { first = \"20ms\", longest = \"50ms\" }";

/// Waits until nothing waits at `erp` any more.
#[track_caller]
pub fn drained(proxy: &crate::support::Proxy) {
    eventually("the inbox is empty", || {
        let scrape = proxy.scrape();
        ["ready", "waiting", "in_flight"]
            .iter()
            .all(|state| scrape.sum("hookward_inbox_events", &[("state", state)]) == 0)
    });
}

/// A signed event of an order: a step in what happens to it.
pub fn order(id: &str, order: u64, step: u64) -> Delivery {
    let at = rfc3339_in(0);
    let body = format!(
        r#"{{"event_id":"{id}","type":"order.created","created_at":"{at}","order":{order},"step":{step}}}"#
    );
    let signature = format!("sha256={}", hmac_sha256_hex(SHOP_SECRET, body.as_bytes()));
    Delivery::post("/webhooks/shop", body).with("X-Signature", &signature)
}
