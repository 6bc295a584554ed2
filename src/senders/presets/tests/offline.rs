//! Every preset before the commands that look at one captured delivery: what the proxy would say
//! is what they say.

use super::deliveries::{Delivery, signable};
use crate::config::{Config, SecretReader};
use crate::outcome::Reason;
use crate::senders::discover::{MemberNames, discover};
use crate::senders::explain::{Judgement, Question};
use hookward_secret::Secret;
use hookward_verify::scheme::Place;
use hookward_verify::verify::verify;
use http::HeaderValue;
use std::path::Path;
use std::time::Duration;

struct OneSecret(Secret);

impl SecretReader for OneSecret {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(self.0.clone())
    }

    fn file(&self, path: &Path) -> std::io::Result<Secret> {
        panic!("nothing reads {}", path.display())
    }
}

#[test]
fn every_preset_is_discovered_from_one_delivery() {
    for preset in signable() {
        let Delivery { source, head, body, .. } = &mut Delivery::of(preset);
        if let Some(url) = &source.sender.public_url {
            let host = url.split('/').nth(2).expect("a host");
            host.clone_into(&mut head.host);
        }
        let secret = &source.sender.secrets[0].text;
        let names = MemberNames::of_secret("found", "S");
        let table = discover(head, body, secret, names)
            .unwrap_or_else(|| panic!("{}: not discovered", preset.name))
            .table;
        let reader = OneSecret(secret.clone());
        let (config, _) = Config::parse(&table, "found.toml", Path::new("."), &reader)
            .unwrap_or_else(|problems| panic!("{}: {problems:?}\n{table}", preset.name));
        let pasted = &config.sources[0];
        let judged = verify(&pasted.sender, head.view(), body);
        assert!(judged.is_ok(), "{}: {judged:?}\n{table}", preset.name);
    }
}

#[test]
fn an_explanation_agrees_with_the_judgement_of_every_preset() {
    for preset in signable() {
        let delivery = Delivery::of(preset);
        let Delivery { source, head, body, now } = &delivery;
        let routed = delivery.judge().is_ok_and(|event| source.route(&event.kind).is_some());
        let all = [source];
        let question = Question {
            source,
            all: &all,
            key: None,
            max_body_bytes: 1 << 20,
            head,
            body,
            at: *now,
        };
        let told = question.explain();
        assert_eq!(told.is_forwarded(), routed, "{}: {told}", preset.name);
        if source.sender.scheme.timestamp.is_some() && routed {
            let late = now.plus(Duration::from_hours(24 * 365));
            let told = Question { at: late, ..question }.explain();
            let expired = Judgement::Refused(Reason::TimestampTooOld);
            assert_eq!(told.verdict, expired, "{}: {told}", preset.name);
        }
    }
}

#[test]
fn one_altered_digit_of_a_signature_is_refused() {
    for preset in signable() {
        let mut delivery = Delivery::of(preset);
        for place in delivery.source.sender.scheme.signature.places.clone() {
            let Place::Header(name) = place else { continue };
            let Some(value) = delivery.head.headers.get(&name) else { continue };
            let mut bytes = value.to_vec();
            // The last digit but one: the last of unpadded base64 could only become malformed.
            let at = bytes.iter().rposition(|byte| *byte != b'=').expect("a value") - 1;
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            delivery.head.headers.set(&name, &HeaderValue::from_bytes(&bytes).expect("a value"));
            delivery.assert_refused(preset, name.as_str());
        }
    }
}
