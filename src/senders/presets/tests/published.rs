//! Every preset whose sender publishes its keys: a delivery is made with a key pair of the tests, and
//! found out again from that delivery and what the sender publishes.

use super::{sample, sample_request};
use crate::config::{Config, SecretReader};
use crate::delivery::fixture;
use crate::delivery::source::Source;
use crate::request::RequestHead;
use crate::senders::discover::{KeyFile, MemberNames, PublishedQuestion};
use data_encoding::BASE64URL_NOPAD;
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use hookward_verify::presets::{Preset, all, named};
use hookward_verify::sign::{SigningKey, sign};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256,
};
use std::path::Path;

const NOW: UnixMillis = fixture::NOW;
const RSA: &str = include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../../../crates/hookward-verify/tests/keys/rsa.pub.pem");
const P256: &str = include_str!("../../../../crates/hookward-verify/tests/keys/p256.pem");

/// What the sender of a preset has, and what it publishes.
struct Pair {
    /// With its certificates, where a token brings them along.
    private: String,
    /// What a receiver can have of it, each enough by itself.
    published: Vec<Vec<u8>>,
}

impl Pair {
    fn of(preset: &Preset) -> Self {
        let of = |private: &str, public: String, set: String| Self {
            private: private.to_owned(),
            published: vec![public.into_bytes(), set.into_bytes()],
        };
        if preset.needs_root() {
            return Self::chained();
        }
        if preset.fact("signature", "key_url").is_some() {
            let key = KeyPair::from_pkcs8_pem_and_sign_algo(RSA, &PKCS_RSA_SHA256).expect("a key");
            let mut params = CertificateParams::new(vec!["s.example".to_owned()]).expect("names");
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            let pem = params.self_signed(&key).expect("a certificate").pem();
            return Self { private: RSA.to_owned(), published: vec![pem.into_bytes()] };
        }
        match preset.texts_of("signature", "jwt_algorithms").as_slice() {
            ["RS256"] => of(RSA, RSA_PUBLIC.to_owned(), rsa_set()),
            ["ES256"] => of(P256, p256_public(), p256_set()),
            other => panic!("{}: {other:?}", preset.name),
        }
    }

    /// A leaf and an intermediate that carry Apple's markers, below a root that is published.
    fn chained() -> Self {
        let marker = |oid: &[u64]| CustomExtension::from_oid_content(oid, vec![5, 0]);
        let params = |is_ca: bool, marker: Option<CustomExtension>| {
            let mut params = CertificateParams::new(vec!["c.example".to_owned()]).expect("names");
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            if is_ca {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
            params.custom_extensions.extend(marker);
            params
        };
        let (root_key, middle_key) =
            (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let root = params(true, None);
        let root_pem = root.self_signed(&root_key).expect("a root").pem();
        let issuer = Issuer::new(root, root_key);
        let middle = params(true, Some(marker(&[1, 2, 840, 113_635, 100, 6, 2, 1])));
        let middle_pem = middle.signed_by(&middle_key, &issuer).expect("one").pem();
        let issuer = Issuer::new(middle, middle_key);
        let leaf = params(false, Some(marker(&[1, 2, 840, 113_635, 100, 6, 11, 1])));
        let leaf_pem = leaf
            .signed_by(&KeyPair::from_pem(P256).expect("a key"), &issuer)
            .expect("a leaf")
            .pem();
        Self {
            private: format!("{P256}{leaf_pem}{middle_pem}"),
            published: vec![root_pem.into_bytes()],
        }
    }
}

fn rsa_set() -> String {
    let text: String = RSA.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
    let pair = ring::signature::RsaKeyPair::from_pkcs8(&der).expect("a key");
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let (n, e) = (BASE64URL_NOPAD.encode(&public.n), BASE64URL_NOPAD.encode(&public.e));
    format!(r#"{{"keys":[{{"kty":"RSA","kid":"r1","n":"{n}","e":"{e}"}}]}}"#)
}

fn p256_public() -> String {
    let key = p256::SecretKey::from_pkcs8_pem(P256).expect("a key");
    key.public_key().to_public_key_pem(LineEnding::LF).expect("a PEM")
}

fn p256_set() -> String {
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(P256).expect("a key");
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"p1","x":"{x}","y":"{y}"}}]}}"#)
}

/// Whatever file is named, it is this one, and whatever variable.
struct Files<'a>(&'a [u8]);

impl SecretReader for Files<'_> {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(Secret::from("1JE4291016473214C".to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Ok(Secret::new(self.0.to_vec()))
    }
}

fn parse(text: &str, file: &[u8]) -> Source {
    let (mut config, _) = Config::parse(text, "x.toml", Path::new(""), &Files(file))
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    config.sources.pop().expect("a source")
}

/// The source of somebody who stated what the preset leaves to its user.
fn source(preset: &Preset, published: &[u8], more: &str) -> Source {
    let is_jwt = preset.text_of("signature", "algorithm", "") == "jwt";
    let secrets = match (preset.needs_root(), is_jwt, preset.needs_secret()) {
        (false, true, _) => "secrets = [{ file = \"key.pem\" }]\n",
        (false, false, true) => "secrets = [{ env = \"ID\" }]\n",
        _ => "",
    };
    let root = if preset.needs_root() { "x5c_root = \"root.pem\"\n" } else { "" };
    let audience = if is_jwt { "audience = \"https://hooks.example.com/x\"\n" } else { "" };
    let is_open = is_jwt && preset.texts_of("signature", "issuer").is_empty();
    let tenant = "issuer = \"https://sts.windows.net/9c5b1c1e-0000-4000-8000-000000000000/\"\n";
    let issuer = if is_open { tenant } else { "" };
    let claims = preset.about.whose.first();
    let claims = claims.map(|name| format!("claims = {{ {name:?} = \"{OWNER}\" }}\n"));
    let claims = claims.unwrap_or_default();
    let text = format!(
        "[sources.x]\npath = \"/x\"\npreset = \"{}\"\n{secrets}[sources.x.signature]\n\
         {root}{audience}{issuer}{claims}{more}",
        preset.name
    );
    parse(&text, published)
}

const OWNER: &str = "arn:aws:sns:us-west-2:123456789012:MyTopic";

fn delivery(preset: &Preset, pair: &Pair, more: &str) -> (RequestHead, Vec<u8>) {
    let source = source(preset, &pair.published[0], more);
    let body = sample(preset, &source);
    let request = sample_request(&source.path, &body);
    let private = Secret::from(pair.private.clone());
    let signed = sign(&source.sender, &SigningKey::Private(&private), &request);
    let signed = signed.unwrap_or_else(|why| panic!("{}: {why}", preset.name));
    let mut head = fixture::head(&signed.headers);
    head.path.clone_from(&source.path);
    (head, signed.body.unwrap_or(body))
}

fn ask<'a>(
    (head, body): (&'a RequestHead, &'a [u8]),
    key: &'a KeyFile,
    secret: &'a Secret,
) -> PublishedQuestion<'a> {
    let names =
        MemberNames { file: "key.pem", is_in_file: true, ..MemberNames::of_secret("found", "ID") };
    PublishedQuestion { head, body, key, secret: Some(secret), names, at: NOW }
}

fn with_published_keys() -> impl Iterator<Item = &'static Preset> {
    all().filter(|preset| preset.has_published_keys())
}

#[test]
fn every_preset_with_published_keys_is_discovered_from_one_delivery() {
    let id = Secret::from("1JE4291016473214C".to_owned());
    let mut count = 0;
    for preset in with_published_keys() {
        let pair = Pair::of(preset);
        let (head, body) = delivery(preset, &pair, "");
        for published in &pair.published {
            let key = KeyFile::read(published.clone()).expect(preset.name);
            let question = ask((&head, &body), &key, &id);
            let found =
                question.discover().unwrap_or_else(|why| panic!("{}: {why:#?}", preset.name));
            assert_eq!(found.preset, Some(preset.name), "{}", found.table);
            // The table says whose event it is, so that nobody else's passes.
            if let Some(owner) = preset.about.whose.first() {
                assert!(
                    found.table.contains(owner) && found.table.contains(OWNER),
                    "{}",
                    found.table
                );
            }
            let pasted = parse(&found.table, published);
            let judged = question.judge(&pasted.sender);
            assert!(judged.is_ok(), "{}: {judged:?}\n{}", preset.name, found.table);
            let mut altered = body.clone();
            altered.extend_from_slice(b" ");
            let other = PublishedQuestion { body: &altered, ..question }.judge(&pasted.sender);
            let is_bound = pasted.sender.scheme.signature.token.body_claim.is_some()
                || preset.name == "paypal";
            assert!(!is_bound || other.is_err(), "{}", preset.name);
            count += 1;
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn what_a_published_key_did_not_make_is_told_with_the_reason() {
    let id = Secret::from("1JE4291016473214C".to_owned());
    for preset in with_published_keys() {
        let pair = Pair::of(preset);
        let (head, body) = delivery(preset, &pair, "");
        // Of the same kind, and of somebody else.
        let other = if preset.needs_root() {
            Pair::chained().published
        } else {
            vec![
                include_bytes!("../../../../crates/hookward-verify/tests/keys/rsa-other.pub.pem")
                    .to_vec(),
                br#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
                    .to_vec(),
            ]
        };
        for other in other {
            let key = KeyFile::read(other).expect(preset.name);
            let why = ask((&head, &body), &key, &id).discover().expect_err(preset.name);
            assert!(!why.is_empty() && why.iter().all(|reason| reason.len() > 20), "{why:?}");
        }
    }
}

#[test]
fn sns_messages_of_the_first_version_are_discovered_too() {
    let preset = named("aws-sns").expect("a preset");
    let pair = Pair::of(preset);
    let (head, body) = delivery(preset, &pair, "algorithm = \"rsa-sha1\"\n");
    let key = KeyFile::read(pair.published[0].clone()).expect("a certificate");
    let id = Secret::from("unused".to_owned());
    let found = ask((&head, &body), &key, &id).discover().expect("found");
    assert!(found.table.contains("algorithm = \"rsa-sha1\""), "{}", found.table);
}
