//! Every preset as a user gets it: copied, resolved, its sample signed, verified and tampered with.

use super::super::show;
use super::{sample, sample_request};
use crate::config::{Config, SecretReader};
use crate::delivery::fixture;
use crate::delivery::source::Source;
use crate::outcome::Refusal;
use crate::request::RequestHead;
use data_encoding::{BASE64, HEXLOWER};
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::event::Event;
use hookward_verify::fault::{Fault, FaultKind};
use hookward_verify::presets::{Preset, all, named};
use hookward_verify::scheme::{Algorithm, KeyForm, Place, TimeFormat, TimestampPlace};
use hookward_verify::sign::{SigningKey, sign};
use hookward_verify::verify::{freshness, verify};
use p256::elliptic_curve::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use std::path::Path;
use std::time::Duration;

const SEED: [u8; 32] = [7; 32];
const NOW: UnixMillis = fixture::NOW;

#[test]
fn the_sample_of_every_preset_is_signed_and_verified() {
    for preset in signable() {
        let delivery = Delivery::of(preset);
        let event = delivery.judge().unwrap_or_else(|why| panic!("{}: {why:?}", preset.name));
        assert!(!event.id.as_str().is_empty(), "{}", preset.name);
    }
}

#[test]
fn a_delivery_that_is_altered_in_what_is_signed_is_refused() {
    for preset in signable() {
        let delivery = Delivery::of(preset);
        let rule = &delivery.source.sender.scheme.signature;
        let covers_body = match rule.algorithm {
            Algorithm::Token => false,
            Algorithm::Jwt => rule.covers(&Place::BodySha256),
            _ => rule.signed.covers_body(),
        };
        if covers_body {
            // The letter is in every sample, and in a string or name of it.
            let altered = delivery.with_body(|body| {
                let at = body.iter().position(|byte| *byte == b'e').expect("an e");
                body[at] = b'f';
            });
            altered.assert_refused(preset, "body");
        }
        let other_secret = delivery.with_other_secret();
        other_secret.assert_refused(preset, "secret");
    }
}

#[test]
fn a_delivery_past_its_age_is_refused_and_one_within_it_is_not() {
    for preset in signable() {
        let delivery = Delivery::of(preset);
        let Some(rule) = delivery.source.sender.scheme.timestamp.clone() else { continue };
        let max_age = rule.max_age.expect("an age");
        // A format that has no milliseconds cut them off when it was printed.
        let sent = match rule.format {
            TimeFormat::Unix => UnixMillis(NOW.0 / 1000 * 1000),
            TimeFormat::UnixMs | TimeFormat::Rfc3339 => NOW,
        };
        let at = |now| Delivery { now, ..Delivery::of(preset) }.judge().map(|_| ());
        assert_eq!(at(sent.plus(max_age)), Ok(()), "{}", preset.name);
        let late = at(sent.plus(max_age + Duration::from_millis(1)));
        let kind = late.expect_err(preset.name).kind();
        assert_eq!(kind, FaultKind::TimestampTooOld, "{}", preset.name);
    }
}

#[test]
fn a_time_in_a_header_is_signed_wherever_the_scheme_checks_one() {
    for preset in signable() {
        let mut delivery = Delivery::of(preset);
        let Some(rule) = delivery.source.sender.scheme.timestamp.clone() else { continue };
        let TimestampPlace::Header(name) = rule.from else { continue };
        let later = freshness::print_time(rule.format, NOW.plus(Duration::from_secs(7)));
        delivery.head.headers.set(&name, &later.parse().expect("a value"));
        delivery.assert_refused(preset, "timestamp");
    }
}

/// The presets whose signatures a test can make. The others need a certificate or a key set, and have
/// their own tests.
pub(super) fn signable() -> impl Iterator<Item = &'static Preset> {
    all().filter(|preset| !preset.has_published_keys())
}

/// A signed sample, on its way.
pub(super) struct Delivery {
    pub(super) source: Source,
    pub(super) head: RequestHead,
    pub(super) body: Vec<u8>,
    pub(super) now: UnixMillis,
}

impl Delivery {
    pub(super) fn of(preset: &Preset) -> Self {
        let source = source(preset, "");
        let body = sample(preset, &source);
        let request = sample_request(&source.path, &body);
        let private;
        let key = match source.sender.scheme.signature.algorithm {
            Algorithm::Ed25519 => {
                private = Secret::new(SEED.to_vec());
                SigningKey::Private(&private)
            }
            Algorithm::EcdsaP256Sha256 => {
                let pem = p256_key().to_pkcs8_pem(LineEnding::LF).expect("a key");
                private = Secret::from((*pem).clone());
                SigningKey::Private(&private)
            }
            Algorithm::RsaSha256 => {
                private = Secret::from(
                    include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pem")
                        .to_owned(),
                );
                SigningKey::Private(&private)
            }
            _ => SigningKey::Shared(&source.sender.secrets[0]),
        };
        let signed = sign(&source.sender, &key, &request).expect(preset.name);
        let mut head = fixture::head(&signed.headers);
        head.path.clone_from(&source.path);
        let body = signed.body.unwrap_or(body);
        Self { source, head, body, now: NOW }
    }

    fn with_body(&self, alter: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut body = self.body.clone();
        alter(&mut body);
        let source = source(self.preset(), "");
        Self { source, head: self.head.clone(), body, now: self.now }
    }

    fn with_other_secret(&self) -> Self {
        let source = source(self.preset(), "other");
        Self { source, head: self.head.clone(), body: self.body.clone(), now: self.now }
    }

    fn preset(&self) -> &'static Preset {
        named(self.source.name.as_str()).expect("a preset")
    }

    pub(super) fn judge(&self) -> Result<Event, Fault> {
        let genuine = verify(&self.source.sender, self.head.view(), &self.body)?;
        let event = Event::read(&self.source.sender, self.head.view(), &self.body, &genuine)?;
        if let (Some(rule), Some(sent)) = (&self.source.sender.scheme.timestamp, event.sent) {
            freshness::judge(rule, sent, self.now)?;
        }
        Ok(event)
    }

    pub(super) fn assert_refused(&self, preset: &Preset, what: &str) {
        let refusal = Refusal::from(self.judge().expect_err(preset.name));
        assert_eq!(refusal.status(), 401, "{}: {what}: {refusal:?}", preset.name);
    }
}

/// The source after copying the preset and filling in what it leaves open.
fn source(preset: &Preset, secret_suffix: &'static str) -> Source {
    let copied = show(preset);
    let stated = match preset.name {
        "webround" => copied.replace(
            "[sources.webround.signature]",
            "[sources.webround.signature]\nheader = \"X-Signature\"",
        ),
        _ => copied,
    };
    let text = format!("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n{stated}");
    let secrets = Secrets { preset: preset.clone(), suffix: secret_suffix };
    let loaded = Config::parse(&text, preset.name, Path::new(""), &secrets);
    let (mut config, _) = loaded.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    config.sources.pop().expect("a source")
}

/// A secret of the form that the preset's scheme takes.
struct Secrets {
    preset: Preset,
    suffix: &'static str,
}

impl SecretReader for Secrets {
    fn environment(&self, name: &str) -> Option<Secret> {
        if !name.ends_with("_SECRET") {
            return Some(Secret::from("a-verify-token".to_owned()));
        }
        let is_other = !self.suffix.is_empty();
        let bytes = if is_other { [9; 32] } else { SEED };
        let raw = match self.preset.text_of("signature", "algorithm", "") {
            "ed25519" => ed25519_dalek::SigningKey::from_bytes(&bytes).verifying_key().to_bytes(),
            "ecdsa-p256-sha256" => {
                let key = if is_other { other_p256_key() } else { p256_key() };
                let der = key.public_key().to_public_key_der().expect("a key");
                return Some(Secret::from(BASE64.encode(der.as_bytes())));
            }
            "rsa-sha256" => {
                let own = include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pub.pem");
                let other =
                    include_str!("../../../../crates/hookward-verify/tests/keys/rsa-other.pub.pem");
                return Some(Secret::from(if is_other { other } else { own }.to_owned()));
            }
            _ => bytes,
        };
        let forms = KeyForm::NAMES.map(|(name, _)| name);
        let form = self.preset.text_of("signature", "key", "text");
        assert!(forms.contains(&form), "{form}");
        Some(Secret::from(match form {
            "hex" => HEXLOWER.encode(&raw),
            "base64" => BASE64.encode(&raw),
            _ => format!("user:a-secret-of-some-length{}", self.suffix),
        }))
    }

    fn file(&self, path: &Path) -> std::io::Result<Secret> {
        panic!("no preset reads {}", path.display())
    }
}

fn p256_key() -> p256::SecretKey {
    p256::SecretKey::from_slice(&SEED).expect("a key")
}

fn other_p256_key() -> p256::SecretKey {
    p256::SecretKey::from_slice(&[9; 32]).expect("a key")
}
