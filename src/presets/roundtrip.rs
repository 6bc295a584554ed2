//! Every preset against the code that verifies: what its sender would send is genuine, and one
//! flipped bit of it is not.

use super::all;
use crate::config::{Config, SecretReader};
use crate::discover::discover;
use crate::event::Event;
use crate::explain::{Verdict, explain};
use crate::outcome::Reason;
use crate::request::RequestHead;
use crate::scheme::{Algorithm, KeyForm, Part, Place, TimestampPlace};
use crate::secret::Secret;
use crate::sign::{SignRequest, SigningKey, sample_body, sign};
use crate::source::Source;
use crate::verify::fixture::{NOW, head};
use crate::verify::{check, freshness};
use http::HeaderValue;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A private key and, as the source's secret, its public one.
struct Pair {
    private: Option<Secret>,
    secret: Secret,
}

struct OneSecret(Secret);

impl SecretReader for OneSecret {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(self.0.clone())
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn resolve(name: &str, secret: &Secret) -> Source {
    let header = if name == "webround" { "[sources.s.signature]\nheader = \"X-W\"\n" } else { "" };
    let token = if super::named(name)
        .is_some_and(|preset| preset.text.contains("[handshake]\nkind = \"meta\""))
    {
        "[sources.s.handshake]\nverify_token = { env = \"S\" }\n"
    } else {
        ""
    };
    let text = format!(
        "[upstreams.erp]\nurl = \"http://127.0.0.1:9001\"\n\
         [sources.s]\npath = \"/s\"\npreset = \"{name}\"\nsecrets = [{{ env = \"S\" }}]\n\
         public_url = \"https://hooks.example.com/s\"\ndedupe_ttl = \"240h\"\n\
         [[sources.s.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n{header}{token}"
    );
    let loaded = Config::parse(&text, "test.toml", Path::new("."), &OneSecret(secret.clone()));
    let (config, _) = loaded.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    config.sources.into_iter().next().expect("a source")
}

/// A secret that is a key under any form, then the one that the scheme needs.
fn ready(name: &str) -> (Source, Pair) {
    use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
    let hex = "6f0b8a4d1c2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c8";
    let text = super::named(name).expect("a preset").text;
    let pair = if text.contains("ed25519") && text.contains("algorithm = \"ed25519\"") {
        let seed = [7; 32];
        let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
        let secret = if text.contains("key = \"hex\"") {
            data_encoding::HEXLOWER.encode(public.as_bytes())
        } else {
            format!("whpk_{}", data_encoding::BASE64.encode(public.as_bytes()))
        };
        Pair { private: Some(Secret::new(seed.to_vec())), secret: secret.into() }
    } else if text.contains("algorithm = \"ecdsa-p256-sha256\"") {
        let private = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a key");
        let public = private.verifying_key().to_public_key_der().expect("DER");
        let pem = private.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).expect("PEM");
        Pair {
            private: Some(pem.to_string().into()),
            secret: data_encoding::BASE64.encode(public.as_bytes()).into(),
        }
    } else {
        Pair { private: None, secret: hex.to_owned().into() }
    };
    (resolve(name, &pair.secret), pair)
}

fn deliver(name: &str, source: &Source, pair: &Pair) -> (RequestHead, Vec<u8>) {
    let preset = super::named(name).expect("a preset");
    let sample = preset.about.sample.trim_start_matches('\n').as_bytes();
    let body = sample_body(source, Some(sample), "evt_1", "order.paid", NOW)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let key = match &pair.private {
        Some(private) => SigningKey::Private(private),
        None => SigningKey::Shared(source.secrets.first().expect("a secret")),
    };
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("order.paid"),
        at: NOW,
        query: None,
        body: &body,
    };
    let signed = sign(source, &key, &request).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut head = head(&signed.headers);
    source.path.clone_into(&mut head.path);
    (head, signed.body.unwrap_or(body))
}

#[test]
fn what_a_sender_of_each_preset_sends_is_genuine_and_fresh() {
    for preset in all() {
        let (source, pair) = ready(preset.name);
        let (head, body) = deliver(preset.name, &source, &pair);
        let keys = source.keys.as_ref().expect("keys");
        let genuine = check(&source, keys, &head, &body)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", preset.name));
        let event = Event::read(&source, &head, &body, &genuine)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", preset.name));
        let rule = source.scheme.timestamp.as_ref();
        assert_eq!(event.sent.is_some(), rule.is_some(), "{}", preset.name);
        if let (Some(rule), Some(sent)) = (rule, event.sent) {
            assert!(freshness::judge(rule, sent, NOW).is_ok(), "{}", preset.name);
        }
    }
}

#[test]
fn one_flipped_bit_of_what_a_preset_signs_is_refused() {
    for preset in all() {
        let (source, pair) = ready(preset.name);
        let (head, body) = deliver(preset.name, &source, &pair);
        let rule = &source.scheme.signature;
        let keys = source.keys.as_ref().expect("keys");
        let refused = |head: &RequestHead, body: &[u8]| check(&source, keys, head, body).is_err();
        if rule.algorithm != Algorithm::Token && rule.signed.any(|part| *part == Part::Body) {
            let mut altered = body.clone();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            assert!(refused(&head, &altered), "{}: the body", preset.name);
        }
        let mut signed_headers: Vec<_> = rule.places.iter().collect();
        let timestamp = source.scheme.timestamp.as_ref().map(|rule| &rule.from);
        let timestamp_header = match timestamp {
            Some(TimestampPlace::Header(name)) if source.scheme.signs_timestamp() => {
                Some(Place::Header(name.clone()))
            }
            _ => None,
        };
        signed_headers.extend(&timestamp_header);
        for place in signed_headers {
            let Place::Header(name) = place else { continue };
            let Some(value) = head.headers.get(name) else { continue };
            let mut bytes = value.as_bytes().to_vec();
            // The last digit but one: the last of unpadded base64 could only become malformed.
            let at = bytes.iter().rposition(|byte| *byte != b'=').expect("a value") - 1;
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let mut altered = head.clone();
            let value = HeaderValue::from_bytes(&bytes).expect("a value");
            altered.headers.insert(name, value);
            assert!(refused(&altered, &body), "{}: {name}", preset.name);
        }
        let other = resolve(
            preset.name,
            &match rule.algorithm {
                Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256 => continue,
                _ if rule.key == KeyForm::Hex => Secret::from("00ff".repeat(8)),
                _ => Secret::from("bm90IHRoZSByaWdodCBzZWNyZXQ=".to_owned()),
            },
        );
        let keys = other.keys.as_ref().expect("keys");
        assert!(check(&other, keys, &head, &body).is_err(), "{}: another secret", preset.name);
    }
}

#[test]
fn every_preset_is_discovered_from_one_delivery() {
    for preset in all() {
        let (source, pair) = ready(preset.name);
        let (mut head, body) = deliver(preset.name, &source, &pair);
        head.host = "hooks.example.com".to_owned();
        let found = discover(&head, &body, &pair.secret)
            .unwrap_or_else(|| panic!("{}: not discovered", preset.name));
        let table = found.to_toml("found", "S");
        let reader = OneSecret(pair.secret.clone());
        let (config, _) = Config::parse(&table, "found.toml", Path::new("."), &reader)
            .unwrap_or_else(|problems| panic!("{}: {problems:?}\n{table}", preset.name));
        let source = config.sources.first().expect("a source");
        let keys = source.keys.as_ref().expect("keys");
        let judged = check(source, keys, &head, &body);
        assert!(judged.is_ok(), "{}: {judged:?}\n{table}", preset.name);
    }
}

#[test]
fn an_explanation_agrees_with_the_judgement_of_every_preset() {
    for preset in all() {
        let (source, pair) = ready(preset.name);
        let (head, body) = deliver(preset.name, &source, &pair);
        let told = explain(&source, &[&source], &head, &body, NOW);
        assert!(told.is_forwarded(), "{}: {told}", preset.name);
        if source.scheme.timestamp.is_some() {
            let late = NOW.plus(Duration::from_hours(24 * 365));
            let told = explain(&source, &[&source], &head, &body, late);
            let expired = Verdict::Refused(Reason::TimestampTooOld);
            assert_eq!(told.verdict, expired, "{}: {told}", preset.name);
        }
    }
}
