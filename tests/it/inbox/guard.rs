//! `replay_guard` and the inbox: what waits is guarded as what was delivered is.

use super::{SOON, drained, on};
use crate::support::{Delivery, Reply, Sender, Setup, Upstream, hmac_sha256_hex};
use std::path::Path;

const SECRET: &str = "a-secret-of-the-hub-for-tests";

/// A push whose id nobody signs.
pub fn push(id: &str, body: &str) -> Delivery {
    Delivery::post("/hub", body)
        .with(
            "X-Hub-Signature-256",
            &format!("sha256={}", hmac_sha256_hex(SECRET, body.as_bytes())),
        )
        .with("X-GitHub-Delivery", id)
        .with("X-GitHub-Event", "push")
}

/// With the source of these pushes, which goes to one upstream.
pub fn guarded(setup: Setup, to: &str, delivery: &str) -> Setup {
    setup
        .table(&format!(
            "[sources.hub]\npath = \"/hub\"\npreset = \"github\"\nreplay_guard = \"signature\"\n\
             secrets = [{{ env = \"HUB_SECRET\" }}]\n\
             [[sources.hub.routes]]\nevents = [\"*\"]\nto = [\"{to}\"]\ndelivery = \"{delivery}\""
        ))
        .environment("HUB_SECRET", SECRET)
}

fn hub(erp: &Upstream, folder: &Path, delivery: &str) -> Setup {
    let setup = on(folder).dedupe("uncertain_hold = \"100ms\"").upstream("erp", erp, SOON);
    guarded(setup, "erp", delivery)
}

#[test]
fn a_captured_copy_of_an_event_that_waits_is_a_duplicate_under_any_id() {
    for delivery in ["queued", "spill"] {
        let folder = tempfile::tempdir().unwrap();
        let erp = Upstream::start();
        erp.otherwise(Reply::Status(503));
        let setup = hub(&erp, folder.path(), delivery);
        let mut proxy = setup.start();
        let told = |proxy: &crate::support::Proxy, id: &str, body: &str| {
            Sender::to(proxy).deliver(&push(id, body)).outcome().to_owned()
        };
        assert_eq!(told(&proxy, "guid-1", "{}"), "queued");
        assert_eq!(told(&proxy, "guid-2", "{}"), "duplicate", "{delivery}");
        assert_eq!(told(&proxy, "guid-3", "{ }"), "queued", "another body is another event");
        // It is known after a crash as well.
        proxy.crash();
        let proxy = setup.start();
        assert_eq!(told(&proxy, "guid-4", "{}"), "duplicate", "{delivery}");
        erp.otherwise(Reply::Status(200));
        drained(&proxy);
        assert_eq!(told(&proxy, "guid-5", "{}"), "duplicate", "{delivery}: delivered by now");
        let mut accepted: Vec<String> = erp
            .seen()
            .into_iter()
            .map(|request| request.header("Hookward-Event-Id").to_owned())
            .collect();
        accepted.sort();
        accepted.dedup();
        assert_eq!(accepted, ["guid-1", "guid-3"], "{delivery}");
    }
}
