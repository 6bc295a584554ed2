use super::client::fresh_for;
use super::*;
use crate::delivery::fixture;
use async_trait::async_trait;
use hookward_secret::Secret;
use hookward_time::{ManualClock, UnixMillis};
use hookward_verify::fault::{Fault, FaultKind};
use hookward_verify::scheme::{
    Algorithm, CertificateRule, HostPattern, JwtAlgorithm, PathPattern, Place,
};
use hookward_verify::sender::{KeySite, KeySiteKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A sender's site under the control of a test.
#[derive(Default)]
struct StandIn {
    asked: AtomicUsize,
    /// What it answers; `None`: it is down.
    answer: Mutex<Option<String>>,
    fresh_for: Mutex<Option<Duration>>,
    /// Questions wait until this is released, if it is there.
    held: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

impl StandIn {
    fn publishing(ids: &[&str]) -> Arc<Self> {
        let site = Arc::new(Self::default());
        site.publish(ids);
        site
    }

    fn publish(&self, ids: &[&str]) {
        let key = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
        let keys: Vec<_> = ids.iter().map(|id| format!(r#"{{"kid":"{id}",{key}}}"#)).collect();
        *self.answer.lock() = Some(format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Client(Arc<StandIn>);

#[async_trait]
impl Fetch for Client {
    async fn fetch(&self, _: &Ask) -> Result<SiteAnswer, String> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let held = self.0.held.lock().clone();
        if let Some(held) = held {
            drop(held.acquire().await);
        }
        let body = self.0.answer.lock().clone().ok_or("it is down")?;
        let fresh_for = self.0.fresh_for.lock().unwrap_or(Duration::from_hours(1));
        Ok(SiteAnswer { body: body.into_bytes(), fresh_for })
    }
}

struct World {
    clock: Arc<ManualClock>,
    site: Arc<StandIn>,
    all: Arc<PublishedKeys>,
}

impl World {
    fn of(site: Arc<StandIn>) -> Self {
        let clock = Arc::new(ManualClock::at(fixture::NOW));
        let all = PublishedKeys::new(clock.clone(), Box::new(Client(Arc::clone(&site))));
        Self { clock, site, all }
    }

    /// What the process does each second, and its end.
    async fn tick(&self) {
        self.all.tick();
        self.rest().await;
    }

    /// Lets every task run as far as it can.
    async fn rest(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn judge(&self, source: &Source, keys: &SourceKeys, key_id: &str) -> FaultKind {
        judge(source, keys, key_id, Instant::now() + SECOND).await
    }
}

fn source(name: &str) -> Source {
    let mut source = fixture::source("Authorization").with_rule(|rule| {
        rule.algorithm = Algorithm::Jwt;
        rule.prefix = "Bearer ".to_owned();
        rule.token.algorithms = vec![JwtAlgorithm::Es256];
    });
    source.name = name.into();
    source.sender.key_sites = vec![KeySite {
        entry: 0,
        label: "0".to_owned(),
        url: Url::parse("https://keys.example.com/certs").expect("a URL"),
        kind: KeySiteKind::Set,
    }];
    source
}

/// Judges a token that no key has made; a mismatch is what a key that is there gives.
async fn judge(source: &Source, keys: &SourceKeys, key_id: &str, until: Instant) -> FaultKind {
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let header = encode(&format!(r#"{{"alg":"ES256","kid":"{key_id}"}}"#));
    let token = format!("Bearer {header}.{}.{}", encode("{}"), encode("signature"));
    let head = fixture::head(&[("Authorization", token)]);
    let judged = keys.check(&source.sender, head.view(), b"{}", fixture::NOW, until).await;
    judged.expect_err("nobody made it").kind()
}

#[tokio::test(start_paused = true)]
async fn a_place_is_asked_at_the_start_and_again_after_nine_tenths_of_its_time() {
    let world = World::of(StandIn::publishing(&["k1"]));
    *world.site.fresh_for.lock() = Some(Duration::from_mins(10));
    let source = source("push");
    let keys = world.all.of_source(&source).expect("published keys");
    assert_eq!(keys.standing().fetched_at, None);
    world.tick().await;
    assert_eq!(world.site.asked(), 1);
    world.clock.advance(Duration::from_secs(9 * 60 - 1));
    world.tick().await;
    assert_eq!(world.site.asked(), 1, "not yet");
    world.clock.advance(SECOND);
    world.tick().await;
    assert_eq!(world.site.asked(), 2);
    assert_eq!(keys.standing().age, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_is_asked_for_once_a_minute_whichever_sources_share_the_place() {
    let world = World::of(StandIn::publishing(&["k1"]));
    let (one, two) = (source("one"), source("two"));
    let keys = [&one, &two].map(|source| world.all.of_source(source).expect("keys"));
    world.tick().await;
    world.site.publish(&["k1", "k2"]);
    for id in ["k2", "k3", "../k4"] {
        assert_eq!(world.judge(&one, &keys[0], id).await, FaultKind::SignatureMismatch);
        assert_eq!(world.judge(&two, &keys[1], id).await, FaultKind::SignatureMismatch);
    }
    assert_eq!(world.site.asked(), 1, "the start was less than a minute ago");
    world.clock.advance(MINUTE);
    for _ in 0..50 {
        world.judge(&one, &keys[0], "k3").await;
        world.judge(&two, &keys[1], "k9").await;
    }
    assert_eq!(world.site.asked(), 2);
    world.clock.advance(MINUTE);
    for _ in 0..5 {
        world.judge(&one, &keys[0], "k2").await;
    }
    assert_eq!(world.site.asked(), 2, "it is known by now");
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_on_while_the_site_is_down_and_over_a_reload() {
    let world = World::of(StandIn::publishing(&["k1"]));
    let source = source("push");
    let keys = world.all.of_source(&source).expect("keys");
    world.tick().await;
    *world.site.answer.lock() = None;
    world.clock.advance(Duration::from_hours(48));
    world.tick().await;
    assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SignatureMismatch);
    let standing = keys.standing();
    assert_eq!(standing.age, Some(Duration::from_hours(48)));
    assert_eq!(standing.last_error.as_deref(), Some("it is down"));
    // A reload asks for the keys of its own sources, and drops those of sources that are gone.
    let kept = Arc::new(self::source("push"));
    world.all.keep(std::slice::from_ref(&kept));
    let again = world.all.of_source(&kept).expect("keys");
    assert_eq!(again.standing(), standing);
    world.all.keep(&[]);
    let gone = world.all.of_source(&kept).expect("keys");
    assert_eq!(gone.standing().fetched_at, None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_key_set_changes_no_key() {
    let world = World::of(StandIn::publishing(&["k1"]));
    let source = source("push");
    let keys = world.all.of_source(&source).expect("keys");
    world.tick().await;
    for answer in ["", "<html>", r#"{"keys":[]}"#] {
        *world.site.answer.lock() = Some(answer.to_owned());
        world.clock.advance(Duration::from_hours(1));
        world.tick().await;
        assert!(keys.standing().last_error.is_some(), "{answer}");
        assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SignatureMismatch);
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_key_the_sender_is_told_to_come_again() {
    let world = World::of(Arc::new(StandIn::default()));
    let source = source("push");
    let keys = world.all.of_source(&source).expect("keys");
    for _ in 0..20 {
        assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SecretUnavailable);
    }
    assert_eq!(world.site.asked(), 1, "a site that is down is not asked more often");
    world.site.publish(&["k1"]);
    world.clock.advance(MINUTE);
    assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SignatureMismatch);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_waits_no_longer_than_to_its_deadline_and_the_question_goes_on() {
    let world = World::of(StandIn::publishing(&["k1"]));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *world.site.held.lock() = Some(Arc::clone(&gate));
    let source = source("push");
    let keys = world.all.of_source(&source).expect("keys");
    let (before, patience) = (Instant::now(), Duration::from_millis(4500));
    let judged = judge(&source, &keys, "k1", before + patience).await;
    assert_eq!(judged, FaultKind::SecretUnavailable);
    assert_eq!(Instant::now() - before, patience);
    gate.add_permits(1);
    world.rest().await;
    assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SignatureMismatch);
    assert_eq!(world.site.asked(), 1);
}

fn certified(name: &str) -> Source {
    let mut source = fixture::source("X-Sig").with_rule(|rule| {
        rule.algorithm = Algorithm::RsaSha256;
        rule.encoding = hookward_verify::scheme::Encoding::Base64;
        rule.certificate = Some(CertificateRule {
            url: Place::parse("header:X-Cert-Url").expect("a place"),
            hosts: vec![HostPattern::parse("keys.example.com").expect("a host")],
            path: PathPattern::parse("/*.pem").expect("a path"),
        });
    });
    source.name = name.into();
    source.sender.secrets = Vec::new();
    source.sender.keys = Ok(hookward_verify::keys::Keys::published());
    source
}

async fn judge_certified(source: &Source, keys: &SourceKeys, url: &str) -> Result<(), Fault> {
    let signature = data_encoding::BASE64.encode(&[7; 256]);
    let head = fixture::head(&[("X-Sig", signature), ("X-Cert-Url", url.to_owned())]);
    let until = Instant::now() + SECOND;
    keys.check(&source.sender, head.view(), b"{}", fixture::NOW, until).await.map(|_| ())
}

fn kind(judged: Result<(), Fault>) -> Option<FaultKind> {
    judged.err().map(|fault| fault.kind())
}

#[tokio::test(start_paused = true)]
async fn requests_make_four_new_questions_a_minute_and_source_failed_ones_counted() {
    let world = World::of(Arc::new(StandIn::default()));
    let (one, two) = (certified("one"), certified("two"));
    let keys = [&one, &two].map(|source| world.all.of_source(source).expect("keys"));
    for number in 0..100 {
        let url = format!("https://keys.example.com/{number}.pem");
        let judged = judge_certified(&one, &keys[0], &url).await;
        assert_eq!(kind(judged), Some(FaultKind::SecretUnavailable));
    }
    assert_eq!(world.site.asked(), 4);
    for number in 0..100 {
        let url = format!("https://keys.example.com/{}.pem", number % 3);
        drop(judge_certified(&two, &keys[1], &url).await);
    }
    assert_eq!(world.site.asked(), 7, "another source has questions of its own");
    world.clock.advance(MINUTE);
    for number in 0..100 {
        let url = format!("https://keys.example.com/{number}.pem");
        drop(judge_certified(&one, &keys[0], &url).await);
    }
    assert_eq!(world.site.asked(), 11);
    // A reload does not start the minute anew.
    let again = world.all.of_source(&one).expect("keys");
    drop(judge_certified(&one, &again, "https://keys.example.com/new.pem").await);
    assert_eq!(world.site.asked(), 11);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_for_a_url_that_is_not_pinned() {
    let world = World::of(Arc::new(StandIn::default()));
    let source = certified("one");
    let keys = world.all.of_source(&source).expect("keys");
    for url in [
        "https://attacker.example/a.pem",
        "http://keys.example.com/a.pem",
        "https://keys.example.com:8443/a.pem",
        "https://keys.example.com/a.txt",
        "https://keys.example.com@attacker.example/a.pem",
        "https://169.254.169.254/latest.pem",
    ] {
        let judged = judge_certified(&source, &keys, url).await;
        assert_eq!(kind(judged), Some(FaultKind::SignatureMismatch), "{url}");
    }
    assert_eq!(world.site.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_fetched_once_and_an_expired_one_checks_nothing() {
    let world = World::of(Arc::new(StandIn::default()));
    let source = certified("one");
    let keys = world.all.of_source(&source).expect("keys");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params =
        rcgen::CertificateParams::new(["keys.example.com".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2023, 1, 1);
    params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    *world.site.answer.lock() = Some(params.self_signed(&key).expect("signed").pem());
    let url = "https://keys.example.com/a.pem";
    for _ in 0..10 {
        let judged = judge_certified(&source, &keys, url).await;
        assert_eq!(kind(judged), Some(FaultKind::SignatureMismatch));
    }
    assert_eq!(world.site.asked(), 1);
    let head = fixture::head(&[("X-Sig", "AAAA"), ("X-Cert-Url", url)]);
    let later = UnixMillis(fixture::NOW.0 + 365 * 86_400_000);
    let until = Instant::now() + SECOND;
    let judged = keys.check(&source.sender, head.view(), b"{}", later, until).await;
    let fault = judged.expect_err("expired");
    assert!(fault.to_string().contains("expired"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_asked_for_by_its_id_is_remembered_under_it() {
    let world = World::of(StandIn::publishing(&["k1"]));
    let mut source = source("plaid");
    source.sender.key_sites[0].kind = KeySiteKind::ById {
        client_id: Secret::from("c".to_owned()),
        secret: Secret::from("s".to_owned()),
    };
    let keys = world.all.of_source(&source).expect("keys");
    for _ in 0..5 {
        assert_eq!(world.judge(&source, &keys, "k1").await, FaultKind::SignatureMismatch);
    }
    assert_eq!(world.site.asked(), 1);
    for number in 0..50 {
        world.judge(&source, &keys, &format!("x{number}")).await;
    }
    assert_eq!(world.site.asked(), 4, "within the limit of places that requests name");
    let long = "k".repeat(129);
    assert_eq!(world.judge(&source, &keys, &long).await, FaultKind::SecretUnavailable);
}

#[test]
fn how_long_an_answer_is_good_lies_within_bounds() {
    for (header, seconds) in [
        (None, 3600),
        (Some("public"), 3600),
        (Some("max-age=600"), 600),
        (Some("public, max-age=19845, must-revalidate"), 19_845),
        (Some("Max-Age=600"), 600),
        (Some("max-age=1"), 120),
        (Some("no-store"), 120),
        (Some("max-age=600, no-cache"), 120),
        (Some("max-age=999999999"), 86_400),
        (Some("max-age=-1"), 3600),
        (Some("max-age=99999999999999999999999"), 3600),
    ] {
        assert_eq!(fresh_for(header), Duration::from_secs(seconds), "{header:?}");
    }
}
