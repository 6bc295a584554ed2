mod key_choice;

use super::*;
use crate::demand::{Demand, demand};
use crate::event::Event;
use crate::fault::FaultKind;
use crate::keys::KeySet;
use crate::scheme::{Algorithm, ClaimRule, Pointer, TimeFormat, TimestampRule};
use crate::sender::Sender;
use crate::sign::{SignRequest, SigningKey, sign};
use crate::verify::check as verify_check;
use crate::verify::fixture::{Head, NOW, head, source};
use hookward_secret::Secret;
use hookward_time::UnixMillis;
use std::time::Duration;

/// The payload of RFC 7515, appendices A.1 to A.3.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// RFC 7515, appendix A.2: the key, and the signature under `{"alg":"RS256"}`.
const RS256_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515, appendix A.3.
const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ES256: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 8037, appendix A.4.
const ED_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const ED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn set(keys: &[&str]) -> KeySet {
    KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).expect("a set")
}

fn keys(sets: &[&KeySet]) -> Keys {
    Keys::of_sets(sets.iter().enumerate().map(|(entry, set)| (entry, "published", *set)))
}

fn jwt(algorithms: &[JwtAlgorithm]) -> Sender {
    let mut source = source("Authorization").with_rule(|rule| {
        rule.algorithm = Algorithm::Jwt;
        rule.prefix = "Bearer ".to_owned();
        rule.token.algorithms = algorithms.to_vec();
    });
    source.scheme.timestamp = Some(TimestampRule {
        from: issued_at(),
        format: TimeFormat::Unix,
        max_age: None,
        max_ahead: Duration::from_mins(1),
    });
    source
}

fn bearing(token: &str) -> Head {
    head(&[("Authorization", format!("Bearer {token}"))])
}

fn kind(sender: &Sender, keys: &Keys, token: &str) -> Option<FaultKind> {
    verify_check(sender, keys, bearing(token).view(), b"{}").err().map(|fault| fault.kind())
}

fn encoded(json: &str) -> String {
    BASE64URL_NOPAD.encode(json.as_bytes())
}

#[test]
fn the_examples_of_rfc_7515_verify_and_no_altered_one_does() {
    for (algorithm, header, key, signature) in [
        (JwtAlgorithm::Rs256, r#"{"alg":"RS256"}"#, RS256_KEY, RS256),
        (JwtAlgorithm::Es256, r#"{"alg":"ES256"}"#, ES256_KEY, ES256),
    ] {
        let (sender, keys) = (jwt(&[algorithm]), keys(&[&set(&[key])]));
        let token = format!("{}.{JOE}.{signature}", encoded(header));
        assert_eq!(kind(&sender, &keys, &token), None, "{header}");
        let genuine = verify_check(&sender, &keys, bearing(&token).view(), b"{}").expect("genuine");
        let expires = Some(UnixMillis::from_seconds(1_300_819_380));
        assert_eq!(genuine.lifetime(), Lifetime { not_before: None, expires });
        let other = JOE.replacen('J', "K", 1);
        let altered = format!("{}.{other}.{signature}", encoded(header));
        assert_eq!(kind(&sender, &keys, &altered), Some(FaultKind::SignatureMismatch), "{header}");
        let spaced = format!("{}.{JOE}.{signature}", encoded(&header.replace(':', ": ")));
        assert_eq!(kind(&sender, &keys, &spaced), Some(FaultKind::SignatureMismatch), "{header}");
        let mine = set(&[if key == RS256_KEY { ES256_KEY } else { RS256_KEY }]);
        assert!(kind(&sender, &self::keys(&[&mine]), &token).is_some(), "another key");
        assert!(kind(&sender, &Keys::published(), &token).is_some(), "no key");
    }
}

#[test]
fn the_example_of_rfc_7515_with_a_shared_secret_verifies() {
    // Appendix A.1.
    let secret =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let sender = jwt(&[JwtAlgorithm::Hs256])
        .with_rule(|rule| rule.key = crate::scheme::KeyForm::Base64)
        .with_secrets(&[secret]);
    assert_eq!(kind(&sender, &sender.new_keys(), &token), None);
    let other = jwt(&[JwtAlgorithm::Hs256]);
    assert_eq!(kind(&other, &other.new_keys(), &token), Some(FaultKind::SignatureMismatch));
}

#[test]
fn the_example_of_rfc_8037_verifies() {
    let keys = keys(&[&set(&[ED_KEY])]);
    let token = Token::parse(ED).expect("a token");
    assert!(token.made_by(&keys, JwtAlgorithm::EdDsa).is_some());
    assert!(token.made_by(&keys, JwtAlgorithm::Es256).is_none());
    // Its payload is a text, which no event can be read from.
    let malformed = Some(FaultKind::SignatureMalformed);
    assert_eq!(kind(&jwt(&[JwtAlgorithm::EdDsa]), &keys, ED), malformed);
}

/// The example of PS256 at <https://jwt.io>, with the public key that is shown beside it.
const PS256_KEY: &str = r#"{"kty":"RSA","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw","e":"AQAB"}"#;
const PS256: &str = "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWUsImlhdCI6MTUxNjIzOTAyMn0.iOeNU4dAFFeBwNj6qdhdvm-IvDQrTa6R22lQVJVuWJxorJfeQww5Nwsra0PjaOYhAMj9jNMO5YLmud8U7iQ5gJK2zYyepeSuXhfSi8yjFZfRiSkelqSkU19I-Ja8aQBDbqXf2SAWA8mHF8VS3F08rgEaLCyv98fLLH4vSvsJGf6ueZSLKDVXz24rZRXGWtYYk_OYYTVgR1cg0BLCsuCvqZvHleImJKiWmtS0-CymMO4MMjCy_FIl6I56NqLE9C87tUVpo1mT-kbg5cHDD8I7MjCW5Iii5dethB4Vid3mZ6emKjVYgXrtkOQ-JyGMh6fnQxEFN1ft33GX2eRHluK9eg";

#[test]
fn the_example_of_jwt_io_with_rsa_pss_verifies_by_ps256_alone() {
    let keys = keys(&[&set(&[PS256_KEY])]);
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Ps256]), &keys, PS256), None);
    let mismatch = Some(FaultKind::SignatureMismatch);
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Rs256]), &keys, PS256), mismatch);
    let (_, rest) = PS256.split_once('.').expect("three parts");
    // The same signature said to be of PKCS #1 v1.5.
    let renamed = format!("{}.{rest}", encoded(r#"{"alg":"RS256","typ":"JWT"}"#));
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Rs256]), &keys, &renamed), mismatch);
    let other = PS256.replacen(".iOeN", ".jOeN", 1);
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Ps256]), &keys, &other), mismatch);
}

#[test]
fn a_token_never_chooses_its_algorithm() {
    let keys = keys(&[&set(&[RS256_KEY, ES256_KEY])]);
    let rs256 = format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":"RS256"}"#));
    let mismatch = Some(FaultKind::SignatureMismatch);
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Es256]), &keys, &rs256), mismatch, "not configured");
    assert_eq!(kind(&jwt(&[JwtAlgorithm::Ps256]), &keys, &rs256), mismatch, "not configured");
    let sender = jwt(&[JwtAlgorithm::Rs256, JwtAlgorithm::Es256]);
    // The first is the token of RFC 7519, section 6.1.
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "RS512", "rs256", ""] {
        for signature in ["", RS256] {
            let token = format!("{}.{JOE}.{signature}", encoded(&format!(r#"{{"alg":"{alg}"}}"#)));
            assert_eq!(kind(&sender, &keys, &token), mismatch, "{alg}");
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    // The forger signs with HS256 and the sender's public key, in each form that it is known in.
    let pem = crate::verify::fixture::rsa_public_pem();
    let sender = jwt(&[JwtAlgorithm::Rs256]).with_secrets(&[&pem]);
    for secret in [pem.as_bytes(), pem.trim().as_bytes(), RS256_KEY.as_bytes()] {
        let signed = format!("{}.{JOE}", encoded(r#"{"alg":"HS256"}"#));
        let mut hash = crate::keys::RunningHash::hmac_sha256(secret).expect("a key");
        hash.update(signed.as_bytes());
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&hash.finish().into_bytes()));
        for keys in [sender.new_keys(), keys(&[&set(&[RS256_KEY])])] {
            assert_eq!(kind(&sender, &keys, &token), Some(FaultKind::SignatureMismatch));
        }
    }
}

#[test]
fn what_does_not_decode_is_malformed() {
    let (sender, keys) = (jwt(&[JwtAlgorithm::Rs256]), keys(&[&set(&[RS256_KEY])]));
    let header = encoded(r#"{"alg":"RS256"}"#);
    for token in [
        String::new(),
        "a".to_owned(),
        format!("{header}.{JOE}"),
        format!("{header}.{JOE}.{RS256}.x"),
        format!("{header}=.{JOE}.{RS256}"),
        format!("{header}.{JOE}=.{RS256}"),
        format!("{header}.{JOE}.{RS256}=="),
        format!("{header}.{JOE}.{}", RS256.replace('_', "/")),
        format!("{}.{JOE}.{RS256}", encoded("[]")),
        format!("{}.{JOE}.{RS256}", encoded("{}")),
        format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":7}"#)),
        format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":"RS256","alg":"none"}"#)),
        format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#)),
        format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":"RS256","crit":[]}"#)),
        format!("{}.{JOE}.{RS256}", "A".repeat(40_000)),
    ] {
        let malformed = Some(FaultKind::SignatureMalformed);
        assert_eq!(kind(&sender, &keys, &token), malformed, "{token:.60}");
    }
    let none = verify_check(&sender, &keys, head::<&str, &str>(&[]).view(), b"{}");
    assert_eq!(none.err().map(|f| f.kind()), Some(FaultKind::SignatureMissing));
    let good = format!("Bearer {header}.{JOE}.{RS256}");
    let two = head(&[("Authorization", good.as_str()), ("Authorization", "Bearer a.b.c")]);
    let two = verify_check(&sender, &keys, two.view(), b"{}");
    assert_eq!(two.err().map(|f| f.kind()), Some(FaultKind::SignatureMalformed));
}

const PRIVATE: &str = crate::verify::fixture::EC_PRIVATE_PEM;

/// A sender that signs with a P-256 key of the test, and its published set.
fn es256() -> (Sender, Keys) {
    let mut sender = jwt(&[JwtAlgorithm::Es256]);
    if let Some(rule) = &mut sender.scheme.timestamp {
        rule.max_age = Some(Duration::from_mins(5));
    }
    let keys = keys(&[&set(&[&crate::verify::fixture::ec_jwk("k1")])]);
    (sender, keys)
}

fn token_with(header: &str, payload: &str) -> String {
    use p256::ecdsa::signature::hazmat::PrehashSigner as _;
    use p256::pkcs8::DecodePrivateKey as _;
    let key = p256::ecdsa::SigningKey::from_pkcs8_pem(PRIVATE).expect("a key");
    let signed = format!("{}.{}", encoded(header), encoded(payload));
    let hash = crate::keys::sha256(signed.as_bytes());
    let signature: p256::ecdsa::Signature = key.sign_prehash(&hash).expect("signed");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

const ES: &str = r#"{"alg":"ES256","kid":"k1"}"#;

#[test]
fn nothing_in_a_token_brings_a_key_along() {
    let (sender, keys) = es256();
    let payload = format!(r#"{{"iat":{}}}"#, NOW.0 / 1000);
    assert_eq!(kind(&sender, &keys, &token_with(ES, &payload)), None);
    assert_eq!(kind(&sender, &keys, &token_with(r#"{"alg":"ES256"}"#, &payload)), None, "no kid");
    let others = self::keys(&[&set(&[ES256_KEY])]);
    let jwk = crate::verify::fixture::ec_jwk("k1");
    for more in [
        format!(r#""jwk":{jwk}"#),
        r#""jku":"https://attacker.example/keys""#.to_owned(),
        r#""x5u":"https://attacker.example/chain""#.to_owned(),
        r#""x5c":["AAAA"]"#.to_owned(),
        r#""kid":"../../../../dev/null""#.to_owned(),
        r#""kid":"' UNION SELECT 'k' --""#.to_owned(),
        r#""kid":"k1""#.to_owned(),
    ] {
        let token = token_with(&format!(r#"{{"alg":"ES256",{more}}}"#), &payload);
        assert_eq!(kind(&sender, &others, &token), Some(FaultKind::SignatureMismatch), "{more}");
    }
    let unknown = token_with(r#"{"alg":"ES256","kid":"k2"}"#, &payload);
    assert_eq!(kind(&sender, &keys, &unknown), Some(FaultKind::SignatureMismatch));
}

#[test]
fn a_token_has_to_say_what_the_source_wants() {
    let (mut sender, keys) = es256();
    let rule = &mut sender.scheme.signature;
    rule.token.audience = vec!["https://hooks.example.com/push".to_owned()];
    rule.token.issuer = vec!["https://accounts.google.com".to_owned()];
    let claim = |name: &str, value: &str| ClaimRule {
        pointer: Pointer::parse(name).expect("a pointer"),
        values: vec![value.to_owned()],
    };
    rule.claims = vec![claim("/email", "a@example.com"), claim("/email_verified", "true")];
    let good = format!(
        r#"{{"iat":{},"aud":"https://hooks.example.com/push","iss":"https://accounts.google.com","email":"a@example.com","email_verified":true}}"#,
        NOW.0 / 1000
    );
    let mismatch = Some(FaultKind::SignatureMismatch);
    for (what, from, to, expected) in [
        ("as it is", "", "", None),
        (
            "a list",
            r#""https://hooks.example.com/push""#,
            r#"["x","https://hooks.example.com/push"]"#,
            None,
        ),
        ("a text", "email_verified\":true", "email_verified\":\"true\"", None),
        ("another audience", "hooks.example.com", "hooks.example.org", mismatch),
        ("a longer audience", "/push", "/push2", mismatch),
        ("no audience", "\"aud\"", "\"x\"", mismatch),
        ("an audience that is an object", r#""https://hooks.example.com/push""#, "{}", mismatch),
        ("another issuer", "accounts.google.com", "accounts.example.com", mismatch),
        ("no issuer", "\"iss\"", "\"x\"", mismatch),
        ("another account", "a@example.com", "b@example.com", mismatch),
        ("not verified", "true", "false", mismatch),
        ("no claim", "\"email\"", "\"x\"", mismatch),
        (
            "a member twice",
            "\"email\":",
            "\"email\":\"b\",\"email\":",
            Some(FaultKind::SignatureMalformed),
        ),
        ("no iat", "\"iat\"", "\"x\"", Some(FaultKind::TimestampMissing)),
        ("a bad iat", "\"iat\":1", "\"iat\":true,\"x\":1", Some(FaultKind::TimestampMalformed)),
        ("a bad exp", "\"iat\"", "\"exp\":\"soon\",\"iat\"", Some(FaultKind::TimestampMalformed)),
    ] {
        let payload = if from.is_empty() { good.clone() } else { good.replacen(from, to, 1) };
        assert_eq!(kind(&sender, &keys, &token_with(ES, &payload)), expected, "{what}");
    }
}

#[test]
fn a_token_is_judged_by_its_own_times_too() {
    let (sender, keys) = es256();
    let now = NOW.0 / 1000;
    for (claims, expected) in [
        (format!(r#""iat":{now}"#), None),
        (format!(r#""iat":{now}.75"#), None),
        (format!(r#""iat":{}"#, now - 300), None),
        (format!(r#""iat":{}"#, now - 301), Some(FaultKind::TimestampTooOld)),
        (format!(r#""iat":{}"#, now + 60), None),
        (format!(r#""iat":{}"#, now + 61), Some(FaultKind::TimestampInFuture)),
        (format!(r#""iat":{now},"exp":{now}"#), None),
        (format!(r#""iat":{now},"exp":{}"#, now - 59), None),
        (format!(r#""iat":{now},"exp":{}"#, now - 60), Some(FaultKind::TimestampTooOld)),
        (format!(r#""iat":{now},"exp":1"#), Some(FaultKind::TimestampTooOld)),
        (format!(r#""iat":{now},"nbf":{}"#, now + 60), None),
        (format!(r#""iat":{now},"nbf":{}"#, now + 61), Some(FaultKind::TimestampInFuture)),
    ] {
        let token = token_with(ES, &format!("{{{claims}}}"));
        let genuine = verify_check(&sender, &keys, bearing(&token).view(), b"{}").expect(&claims);
        let judged = sender.check_token_freshness(genuine.sent(), genuine.lifetime(), NOW);
        assert_eq!(judged.err().map(|fault| fault.kind()), expected, "{claims}");
    }
}

#[test]
fn a_token_goes_with_one_body() {
    let (mut sender, keys) = es256();
    sender.scheme.signature.token.body_claim = Some("request_body_sha256".to_owned());
    let private = Secret::from(PRIVATE.to_owned());
    let body = br#"{"id":"1","type":"t"}"#;
    let request =
        SignRequest { id: None, event_type: None, path: "/acme", at: NOW, query: None, body };
    let signed = sign(&sender, &SigningKey::Private(&private), &request).expect("signed");
    let request = head(&signed.headers);
    assert!(verify_check(&sender, &keys, request.view(), body).is_ok());
    for other in [&br#"{"id":"2","type":"t"}"#[..], b"", br#"{"id":"1","type":"t"} "#] {
        let judged = verify_check(&sender, &keys, request.view(), other);
        assert_eq!(judged.err().map(|f| f.kind()), Some(FaultKind::SignatureMismatch));
    }
}

#[test]
fn an_event_is_read_from_the_token_that_proves_it() {
    let (mut sender, keys) = es256();
    sender = sender.with_id(&["claim:/id"]).with_type(&["claim:/data/type"]);
    let payload = format!(r#"{{"iat":{},"id":"evt_7","data":{{"type":"sale"}}}}"#, NOW.0 / 1000);
    let request = bearing(&token_with(ES, &payload));
    let genuine = verify_check(&sender, &keys, request.view(), b"not JSON").expect("genuine");
    let event = Event::read(&sender, request.view(), b"not JSON", &genuine).expect("an event");
    assert_eq!((event.id.as_str(), event.kind.as_str()), ("evt_7", "sale"));
    assert_eq!(event.sent, Some(NOW));
    let unproven = Event::read_unproven(&sender, request.view(), b"not JSON", None);
    assert_eq!(unproven.err().map(|f| f.kind()), Some(FaultKind::EventIdMissing));
}
