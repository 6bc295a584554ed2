//! Events that wait under the name of an upstream or a source that the configuration no longer has.

use super::moving::asked;
use super::{SOON, on};
use crate::support::{Event, Proxy, Reply, SHOP_SECRET, Sender, Setup, Upstream, printed, request};
use std::path::Path;
use std::time::Duration;

const OF_ERP: &str = "2 events wait in the inbox for erp, which is no longer an upstream";
const OF_SHOP: &str = "2 events of shop wait in the inbox, and shop is no longer a source";

fn named(folder: &Path, source: &str, upstream: (&str, &Upstream)) -> Setup {
    let (to, at) = upstream;
    on(folder)
        .upstream(to, at, SOON)
        .table(&format!(
            "[sources.{source}]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\n\
             secrets = [{{ env = \"SHOP_SECRET\" }}]\n\
             [[sources.{source}.routes]]\nevents = [\"*\"]\nto = [\"{to}\"]\ndelivery = \"queued\""
        ))
        .environment("SHOP_SECRET", SHOP_SECRET)
}

/// What `hookward check` prints of a configuration for the proxy at this admin address.
fn checked(setup: &Setup, proxy: &Proxy) -> String {
    let output = asked(proxy, setup, &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    printed(&output)
}

#[test]
fn check_and_a_reload_say_how_many_events_wait_under_names_that_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.otherwise(Reply::Status(500));
    let same = || named(folder.path(), "shop", ("erp", &erp));
    let other = || named(folder.path(), "till", ("crm", &erp));
    let mut proxy = same().start();
    for id in ["evt-1", "evt-2"] {
        assert_eq!(Sender::to(&proxy).deliver(&Event::order(id).signed()).outcome(), "queued");
    }

    // The running proxy is asked.
    let told = checked(&same(), &proxy);
    assert!(!told.contains("in the inbox"), "{told}");
    let told = checked(&other(), &proxy);
    for sentence in [OF_ERP, OF_SHOP] {
        assert!(told.contains(&format!("warning: {sentence}")), "{told}");
    }
    std::fs::write(proxy.file(), other().toml()).unwrap();
    let told = request(proxy.admin, "POST", "/reload", &[]).text();
    for sentence in [OF_ERP, OF_SHOP] {
        assert!(told.contains(sentence), "{told}");
    }

    // Then the store is.
    proxy.signal("TERM");
    assert_eq!(proxy.ends_within(Duration::from_secs(10)).code(), Some(0));
    let told = checked(&same(), &proxy);
    assert!(!told.contains("in the inbox"), "{told}");
    let told = checked(&other(), &proxy);
    for sentence in [OF_ERP, OF_SHOP] {
        assert!(told.contains(&format!("warning: {sentence}")), "{told}");
    }

    // And the next start says it.
    let proxy = other().start();
    for sentence in [OF_ERP, OF_SHOP] {
        assert!(proxy.log().contains(sentence), "{}", proxy.log());
    }
}
