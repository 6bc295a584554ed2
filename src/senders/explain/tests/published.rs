//! Sources whose keys are fetched, judged with what is at hand.

use super::*;
use crate::config::{Config, SecretReader};
use crate::delivery::fixture;
use crate::senders::discover::KeyFile;
use hookward_secret::Secret;
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use std::path::Path;

const P256: &str = include_str!("../../../../crates/hookward-verify/tests/keys/p256.pem");

struct NoSecret;

impl SecretReader for NoSecret {
    fn environment(&self, _: &str) -> Option<Secret> {
        None
    }

    fn file(&self, path: &Path) -> std::io::Result<Secret> {
        panic!("nothing reads {}", path.display())
    }
}

fn key_set(id: &str) -> KeyFile {
    let key: p256::ecdsa::SigningKey =
        p256::pkcs8::DecodePrivateKey::from_pkcs8_pem(P256).expect("a key");
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let (x, y) = (encode(x), encode(y));
    let set =
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{x}","y":"{y}"}}]}}"#);
    KeyFile::read(set.into_bytes()).expect("a set")
}

#[test]
fn a_token_is_judged_with_the_key_set_at_hand_and_without_one_the_way_is_told() {
    let table = "[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n\
                 [sources.push]\npath = \"/push\"\nsecrets = [{ jwks = \"https://keys.example.com/set\" }]\n\
                 signature = { algorithm = \"jwt\", jwt_algorithms = [\"ES256\"], audience = \"me\" }\n\
                 event = { id = [\"json:/id\"], type = [\"json:/type\"] }\n\
                 [[sources.push.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n";
    let (mut config, _) = Config::parse(table, "x", Path::new(""), &NoSecret).expect("a table");
    let source = config.sources.pop().expect("a source");
    let body = br#"{"id":"e-1","type":"t"}"#;
    let private = Secret::from(P256.to_owned());
    let request =
        SignRequest { id: None, event_type: None, path: "/push", at: NOW, query: None, body };
    let signed = sign(&source.sender, &SigningKey::Private(&private), &request).expect("signed");
    let mut head = fixture::head(&signed.headers);
    "/push".clone_into(&mut head.path);
    let all = [&source];
    let judge = |key: Option<&KeyFile>, at| {
        let (source, head) = (&source, &head);
        Question { source, all: &all, key, max_body_bytes: MAX_BODY, head, body, at }.explain()
    };
    let unfetched = judge(None, NOW);
    assert_eq!(unfetched.verdict, Judgement::Refused(Reason::SecretUnavailable), "{unfetched}");
    assert!(unfetched.to_string().contains("--key FILE"), "{unfetched}");
    let set = key_set("k1");
    let told = judge(Some(&set), NOW);
    assert_eq!(told.verdict, Judgement::Forwarded(vec!["erp".into()]), "{told}");
    let late = judge(Some(&set), NOW.plus(Duration::from_hours(2)));
    assert_eq!(late.verdict, Judgement::Refused(Reason::TimestampTooOld), "{late}");
    let other =
        br#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let other = KeyFile::read(other.to_vec()).expect("a set");
    let refused = judge(Some(&other), NOW);
    assert_eq!(refused.verdict, Judgement::Refused(Reason::SignatureMismatch), "{refused}");
}
