//! A site that changes its keys and goes away, over real connections, with the clock passed in.

use super::{key_set, token};
use crate::support::{KeyServer, Page};
use hookward::config::{Config, SecretReader};
use hookward::delivery::source::Source;
use hookward::published::{HttpsClient, PublishedKeys, SourceKeys};
use hookward_secret::Secret;
use hookward_time::{ManualClock, UnixMillis};
use hookward_verify::fault::FaultKind;
use hookward_verify::request::Request;
use http::{HeaderMap, Method};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const AT: UnixMillis = UnixMillis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_mins(1);

struct Nothing;

impl SecretReader for Nothing {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(Secret::from("a credential for the site".to_owned()))
    }

    fn file(&self, path: &Path) -> std::io::Result<Secret> {
        panic!("nothing reads {}", path.display())
    }
}

struct World {
    clock: Arc<ManualClock>,
    source: Source,
    keys: Arc<SourceKeys>,
}

impl World {
    fn of(site: &KeyServer, secret: &str) -> Self {
        let table = format!(
            "{}\n[sources.push]\npath = \"/push\"\nsecrets = [{secret}]\n\
             signature = {{ algorithm = \"jwt\", jwt_algorithms = [\"ES256\"] }}\n\
             event = {{ id = [\"json:/id\"] }}\n",
            site.fetch()
        );
        let (mut config, _) = Config::parse(&table, "x.toml", Path::new(""), &Nothing).unwrap();
        let clock = Arc::new(ManualClock::at(AT));
        let all = PublishedKeys::new(clock.clone(), Box::new(HttpsClient::new(&config.fetch)));
        let source = config.sources.pop().unwrap();
        let keys = all.of_source(&source).unwrap();
        Self { clock, source, keys }
    }

    /// What becomes of a token that this key has made; `None`: it is genuine.
    async fn judge(&self, id: &str) -> Option<FaultKind> {
        let iat = AT.0 / 1000;
        let token =
            token(&format!(r#"{{"alg":"ES256","kid":"{id}"}}"#), &format!(r#"{{"iat":{iat}}}"#));
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let head = Request { method: &Method::POST, path: "/push", query: None, headers: &headers };
        let until = Instant::now() + Duration::from_secs(10);
        let judged = self.keys.check(&self.source.sender, head, b"{}", AT, until).await;
        judged.err().map(|fault| fault.kind())
    }
}

#[tokio::test]
async fn a_set_that_changes_is_fetched_again_a_minute_later_and_serves_on_while_its_site_is_down() {
    let site = KeyServer::start();
    site.publish("/certs", Page::of(key_set("k1")));
    let world = World::of(&site, &format!("{{ jwks = {:?} }}", site.url("/certs")));
    assert_eq!(world.judge("k1").await, None);
    site.publish("/certs", Page::of(key_set("k2")));
    let mismatch = Some(FaultKind::SignatureMismatch);
    assert_eq!(world.judge("k2").await, mismatch, "asked less than a minute ago");
    world.clock.advance(MINUTE);
    assert_eq!(world.judge("k2").await, None, "the rotation");
    assert_eq!(world.judge("k1").await, mismatch, "what is withdrawn checks nothing");
    assert_eq!(site.asked("/certs"), 2);
    for down in [Page::of("").with_status(500), Page::of("<html>"), Page::of(" ".repeat(300 << 10))]
    {
        site.publish("/certs", down);
        world.clock.advance(MINUTE);
        assert_eq!(world.judge("k3").await, mismatch);
        assert_eq!(world.judge("k2").await, None, "the old key serves on");
        assert!(world.keys.standing().last_error.is_some());
    }
    assert_eq!(site.asked("/certs"), 5, "once a minute, whatever strangers name");
    site.publish("/certs", Page::of(key_set("k3")));
    world.clock.advance(MINUTE);
    assert_eq!(world.judge("k3").await, None);
    let standing = world.keys.standing();
    assert_eq!((standing.age, standing.last_error), (Some(Duration::ZERO), None));
}

#[tokio::test]
async fn a_key_that_is_asked_for_by_its_id_comes_from_the_pinned_place_or_from_nowhere() {
    let site = KeyServer::start();
    let secret = format!(
        "{{ jwk_by_id = {:?}, client_id = {{ env = \"C\" }}, secret = {{ env = \"S\" }} }}",
        site.url("/get")
    );
    let world = World::of(&site, &secret);
    let unavailable = Some(FaultKind::SecretUnavailable);
    let good = key_set("k1").replace(r#"{"keys":["#, r#"{"key":"#).replace("]}", "}");
    for (id, page) in [
        ("error", Page::of(good.clone()).with_status(500)),
        ("moved", Page::of("").with_status(302).with_header("Location", &site.url("/good"))),
        ("large", Page::of(format!("{good}{}", " ".repeat(300 << 10)))),
        ("slow", Page::of(good.clone()).after(Duration::from_secs(8))),
    ] {
        site.publish("/get", page);
        assert_eq!(world.judge(id).await, unavailable, "{id}");
        world.clock.advance(MINUTE);
    }
    assert_eq!(site.asked("/good"), 0, "a redirect is not followed");
    site.publish("/get", Page::of(good));
    assert_eq!(world.judge("k1").await, None);
    site.publish("/get", Page::of("").with_status(500));
    assert_eq!(world.judge("k1").await, None, "it is kept");
    assert_eq!(world.judge("k2").await, unavailable, "the rotation, while the site is down");
    world.clock.advance(MINUTE);
    let next = key_set("k2").replace(r#"{"keys":["#, r#"{"key":"#).replace("]}", "}");
    site.publish("/get", Page::of(next));
    assert_eq!(world.judge("k2").await, None, "the rotation");
    assert_eq!(site.all_asked().len(), 7, "{:?}", site.all_asked());
}

#[tokio::test]
async fn a_site_whose_certificate_is_for_another_name_is_not_asked() {
    let site = KeyServer::start();
    site.publish("/certs", Page::of(key_set("k1")));
    let by_address = site.url("/certs").replace("localhost", "127.0.0.1");
    let world = World::of(&site, &format!("{{ jwks = {by_address:?} }}"));
    assert_eq!(world.judge("k1").await, Some(FaultKind::SecretUnavailable));
    assert_eq!(site.all_asked().len(), 0);
}
