//! The output of `check` about the keys.

use super::{at, on};
use crate::support::{Setup, hookward, printed};

fn complaint(setup: &Setup) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hookward.toml");
    std::fs::write(&file, setup.toml()).unwrap();
    let mut command = hookward();
    command.args(["check", "--config"]).arg(&file);
    command.env("SHOP_SECRET", crate::support::SHOP_SECRET);
    let output = command.output().unwrap();
    (output.status.code(), printed(&output))
}

#[test]
fn events_are_stored_on_a_disk_or_not_at_all() {
    let shop = |store: &str| {
        Setup::new()
            .dedupe(store)
            .table("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"")
            .shop_to(&["erp"], "")
            .table("delivery = \"spill\"")
    };
    let (code, told) = complaint(&shop("store = \"memory\""));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("sources.shop.routes[0].delivery"), "{told}");
    assert!(told.contains("store = \"disk\""), "{told}");
    let (code, told) = complaint(&shop("store = \"disk\""));
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = complaint(&shop("store = \"postgres\"\nurl = \"postgres://h@db/h\""));
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = complaint(&shop("store = \"redis\""));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("or `store = \"postgres\"`"), "{told}");

    let room = shop("store = \"postgres\"\nurl = \"postgres://h@db/h\"")
        .table("[inbox]\nmin_free = \"2GiB\"");
    let (code, told) = complaint(&room);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("inbox.min_free") && told.contains("has no effect"), "{told}");

    let without = Setup::new()
        .table("[inbox]\nmax_bytes = \"1GiB\"")
        .table("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"")
        .shop_to(&["erp"], "");
    let (code, told) = complaint(&without);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("needs `store = \"disk\"`"), "{told}");
}

#[test]
fn an_order_needs_events_that_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9";
    for (delivery, keys, code) in [
        ("sync", "order_key = \"json:/order\"", 2),
        ("sync", "on_dead = \"hold\"", 2),
        ("spill", "order_key = \"json:/order\"\non_dead = \"hold\"", 0),
        ("queued", "order_key = \"json:/order\"", 0),
        ("quued", "", 2),
    ] {
        let setup = at(url, folder.path(), delivery, "").table(keys);
        let (ended, told) = complaint(&setup);
        assert_eq!(ended, Some(code), "{delivery} {keys}: {told}");
        if delivery == "sync" {
            assert!(told.contains("has no effect without"), "{told}");
        }
    }
    let (_, told) = complaint(&at(url, folder.path(), "quued", ""));
    assert!(told.contains("did you mean") && told.contains("queued"), "{told}");
}

#[test]
fn retries_and_keys_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9";
    let of_upstream = |keys| complaint(&at(url, folder.path(), "spill", keys));
    let (code, told) = of_upstream("retry = { first = \"1h\", longest = \"1m\" }");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("`first` is longer than `longest`"), "{told}");
    let (code, told) = of_upstream("retry = { refused_after = 0 }");
    assert_eq!(code, Some(2), "{told}");
    for headers in [
        "headers = { Host = { value = \"a\" } }",
        "headers = { Hookward-Source = { value = \"a\" } }",
        "headers = { webhook-id = { value = \"a\" } }",
        "sign = { secrets = [] }",
        "sign = { secrets = [{ value = \"short\" }] }",
    ] {
        let (code, told) = of_upstream(headers);
        assert_eq!(code, Some(2), "{headers}: {told}");
    }

    let key = folder.path().join("inbox.key");
    std::fs::write(&key, "too short").unwrap();
    let setup = on(folder.path())
        .table(&format!("encrypt = {{ file = {:?} }}", key.display().to_string()))
        .table("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"")
        .shop_to(&["erp"], "");
    let (code, told) = complaint(&setup);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("32 bytes") && !told.contains("too short"), "{told}");
}
