//! Keys that are not set have the contract's defaults.

use super::{TestSecrets, config};
use crate::config::{
    Balance, Config, ConfigPart as Section, LogFormat, OnStoreError, StoreSettings,
};
use crate::delivery::source::{Mode, Unrouted};
use hookward_settings::reading::Reading;
use hookward_verify::scheme::{Algorithm, Encoding, KeyForm, Part, TimeFormat, TimestampPlace};
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

#[test]
fn an_empty_file_is_all_defaults() {
    let secrets = TestSecrets::usual();
    let reading = Reading::new("c.toml", Path::new(""), &secrets, Section::File);
    let (config, _) = Config::parse_part("", reading).expect("no errors");
    let server = &config.server;
    assert_eq!(server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(server.threads, None);
    assert_eq!(server.limits.max_body_bytes, 1_048_576);
    assert_eq!(server.limits.max_header_bytes, 32_768);
    assert_eq!(server.limits.header_timeout, 5 * SECOND);
    assert_eq!(server.limits.body_timeout, 10 * SECOND);
    assert_eq!(server.limits.idle_timeout, 60 * SECOND);
    assert_eq!(server.limits.max_connections, 10_000);
    assert_eq!(server.body_memory_bytes, 256 * 1_048_576);
    assert_eq!((server.drain_delay, server.drain_timeout), (Duration::ZERO, 20 * SECOND));
    assert!(server.limits.trusted_proxies.is_empty() && server.tls.is_none());
    assert!(
        server.limits.max_connections_per_address.is_none()
            && server.limits.min_body_rate.is_none()
    );
    assert_eq!(config.admin.listen, "127.0.0.1:9090".parse().expect("an address"));
    assert!(config.admin.tokens.is_empty());
    assert_eq!((config.log.format, &*config.log.level), (LogFormat::Text, "info"));
    let dedupe = &config.dedupe;
    assert!(matches!(dedupe.store, StoreSettings::Memory));
    assert_eq!((dedupe.ttl, dedupe.capacity), (96 * HOUR, 1_000_000));
    assert_eq!(dedupe.on_store_error, OnStoreError::Reject);
    assert_eq!(dedupe.uncertain_hold, 30 * SECOND);
    assert_eq!(config.fingerprint, "e3b0c44298fc1c14");
}

#[test]
fn a_spelled_out_source_has_the_defaults_of_the_contract() {
    let config = config(
        r#"
        [upstreams.erp]
        url = "http://127.0.0.1:9001"
        [sources.acme]
        path = "/acme"
        secrets = [{ env = "SECRET" }]
        signature = { header = "X-Acme" }
        timestamp = { from = "header:X-Time" }
        event = { id = ["json:/id"], type = ["json:/type"] }
        routes = [{ events = ["*"], to = ["erp"] }]
        "#,
    );
    let source = &config.sources[0];
    assert_eq!(source.respond_within, 10 * SECOND);
    assert_eq!((source.unrouted, source.mode), (Unrouted::Accept, Mode::Enforce));
    assert!(source.allow.is_empty() && source.rate_limit.is_none() && !source.sender.replay_guard);
    assert_eq!(source.dedupe_ttl, 96 * HOUR);
    let signature = &source.sender.scheme.signature;
    assert_eq!(signature.algorithm, Algorithm::HmacSha256);
    assert_eq!(signature.encoding, Encoding::Hex);
    assert_eq!(signature.signed.0, [Part::Body]);
    assert_eq!(signature.key, KeyForm::Text);
    assert_eq!((&*signature.prefix, signature.prefix_optional), ("", false));
    assert!(signature.separator.is_none() && signature.require.is_empty());
    let timestamp = source.sender.scheme.timestamp.as_ref().expect("a timestamp");
    assert_eq!(timestamp.format, TimeFormat::Unix);
    assert_eq!((timestamp.max_age, timestamp.max_ahead), (Some(300 * SECOND), 60 * SECOND));
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.timeout, upstream.connect_timeout), (30 * SECOND, SECOND));
    assert_eq!(upstream.keep_alive, Some(4 * SECOND), "less than Node, uvicorn and Apache");
    assert_eq!(upstream.balance, Balance::RoundRobin);
    assert!(upstream.tls.is_none() && upstream.health.is_none() && upstream.breaker.is_none());
    assert_eq!(upstream.urls[0].authority, "127.0.0.1:9001");
    assert_eq!(upstream.urls[0].path, None);
}

#[test]
fn a_preset_fills_in_what_the_source_leaves_out() {
    let config = config(
        r#"
        [upstreams.erp]
        url = "https://erp.example/hooks"
        [sources.shop]
        path = "/webhooks/shop"
        preset = "opentiendas"
        secrets = [{ env = "SECRET", name = "new" }, { env = "OTHER_SECRET" }]
        [sources.shop.timestamp]
        max_age = "12h"
        [[sources.shop.routes]]
        events = ["order.*"]
        to = ["erp"]
        [sources.pay]
        path = "/webhooks/pay"
        preset = "stripe"
        secrets = [{ env = "SECRET" }]
        respond_within = "3s"
        [sources.pay.signature]
        from = "json:/signature"
        "#,
    );
    let shop = &config.sources[0];
    assert_eq!(shop.respond_within, Duration::from_millis(4500), "the preset's");
    assert_eq!(shop.sender.scheme.signature.prefix, "sha256=");
    let timestamp = shop.sender.scheme.timestamp.as_ref().expect("a timestamp");
    assert_eq!(timestamp.max_age, Some(12 * HOUR), "the source's");
    assert_eq!(timestamp.format, TimeFormat::Rfc3339, "the preset's");
    assert!(matches!(timestamp.from, TimestampPlace::Json(_)));
    assert_eq!(shop.sender.secrets.iter().map(|s| &*s.label).collect::<Vec<_>>(), ["new", "1"]);
    assert!(shop.sender.keys.is_ok());
    let pay = &config.sources[1];
    assert_eq!(pay.respond_within, 3 * SECOND, "the source's");
    assert_eq!(pay.sender.scheme.signature.places.len(), 1, "`from` takes the place of `header`");
    let upstream = &config.upstreams[0];
    assert!(upstream.tls.is_some(), "https without a tls table");
    assert_eq!(upstream.urls[0].path.as_deref(), Some("/hooks"));
    assert_eq!((upstream.urls[0].port, &*upstream.urls[0].authority), (443, "erp.example"));
}
