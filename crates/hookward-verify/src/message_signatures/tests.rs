//! With the examples of RFC 9421, appendix B.2, and of RFC 9530.

use super::*;
use crate::fault::FaultKind;
use crate::scheme::{Algorithm, KeyForm, TimeFormat, TimestampRule};
use crate::sender::Sender;
use crate::verify::check as verify_check;
use crate::verify::fixture::{Head, head, source};
use std::time::Duration;

/// Appendix B.1.5.
const SHARED: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// Appendix B.1.4, as a PEM.
fn ed25519() -> String {
    let raw = data_encoding::BASE64URL_NOPAD
        .decode(b"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
        .expect("base64url");
    let der = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], &raw];
    let text = data_encoding::BASE64.encode(&der.concat());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

const BODY: &[u8] = br#"{"hello": "world"}"#;
const DIGEST: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const CREATED: UnixMillis = UnixMillis(1_618_884_473_000);

/// The request of appendix B.2.
fn request(input: &str, signature: &str) -> Head {
    let mut head = head(&[
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", DIGEST),
        ("Content-Length", "18"),
        ("Signature-Input", input),
        ("Signature", signature),
    ]);
    head.path = "/foo".to_owned();
    head.query = Some("param=Value&Pet=dog".to_owned());
    head
}

fn sender(secret: &str, form: KeyForm, components: &[&str]) -> Sender {
    let mut sender = source("signature").with_secrets(&[secret]).with_rule(|rule| {
        rule.algorithm = Algorithm::HttpMessageSignatures;
        rule.key = form;
        rule.components = components.iter().map(|&name| name.to_owned()).collect();
    });
    sender.public_url = None;
    sender.scheme.timestamp = Some(TimestampRule {
        from: TimestampPlace::Claim(crate::scheme::Pointer::of(&["created"])),
        format: TimeFormat::Unix,
        max_age: Some(Duration::from_mins(5)),
        max_ahead: Duration::from_mins(1),
    });
    sender
}

fn kind(sender: &Sender, head: &Head, body: &[u8]) -> Option<FaultKind> {
    verify_check(sender, &sender.new_keys(), head.view(), body).err().map(|fault| fault.kind())
}

const B25: (&str, &str) = (
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
);
const B26: (&str, &str) = (
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
);

#[test]
fn the_examples_of_the_rfc_verify_and_no_altered_one_does() {
    for ((input, signature), sender) in [
        (B25, sender(SHARED, KeyForm::Base64, &["@authority"])),
        (B26, sender(&ed25519(), KeyForm::Text, &["@method", "@path"])),
    ] {
        let good = request(input, signature);
        assert_eq!(kind(&sender, &good, BODY), None, "{input}");
        let keys = sender.new_keys();
        let genuine = verify_check(&sender, &keys, good.view(), BODY).expect("genuine");
        assert_eq!(genuine.sent(), Some(CREATED));
        let mismatch = Some(FaultKind::SignatureMismatch);
        let mut other = request(input, signature);
        other
            .headers
            .insert("date", http::HeaderValue::from_static("Tue, 20 Apr 2021 02:07:56 GMT"));
        assert_eq!(kind(&sender, &other, BODY), mismatch);
        let later = input.replace("1618884473", "1618884474");
        assert_eq!(kind(&sender, &request(&later, signature), BODY), mismatch);
        let stated = format!("{input};alg=\"rsa-pss-sha512\"");
        assert_eq!(kind(&sender, &request(&stated, signature), BODY), mismatch, "alg disagrees");
        let mut gone = request(input, signature);
        gone.headers.remove("content-type");
        assert_eq!(kind(&sender, &gone, BODY), Some(FaultKind::SignatureMissing));
    }
}

#[test]
fn what_the_configuration_names_has_to_be_covered() {
    for component in ["content-digest", "@target-uri", "@query", "x-other"] {
        let sender = sender(SHARED, KeyForm::Base64, &["date", component]);
        let judged = kind(&sender, &request(B25.0, B25.1), BODY);
        assert_eq!(judged, Some(FaultKind::SignatureMismatch), "{component}");
    }
}

/// Signs with the shared secret of the RFC.
fn signed(components: &str, parameters: &str, base: &str) -> (String, String) {
    let secret = data_encoding::BASE64.decode(SHARED.as_bytes()).expect("base64");
    let input = format!("({components}){parameters}");
    let mut hash = crate::keys::RunningHash::hmac_sha256(&secret).expect("a key");
    hash.update(format!("{base}\"@signature-params\": {input}").as_bytes());
    let signature = data_encoding::BASE64.encode(&hash.finish().into_bytes());
    (format!("s={input}"), format!("s=:{signature}:"))
}

#[test]
fn a_digest_that_is_covered_is_that_of_the_body() {
    let sender = sender(SHARED, KeyForm::Base64, &["content-digest"]);
    let base = format!("\"content-digest\": {DIGEST}\n");
    let (input, signature) = signed(r#""content-digest""#, ";created=1618884473", &base);
    let request = request(&input, &signature);
    assert_eq!(kind(&sender, &request, BODY), None);
    for body in [&b""[..], br#"{"hello": "World"}"#, br#"{"hello": "world"} "#] {
        assert_eq!(kind(&sender, &request, body), Some(FaultKind::SignatureMismatch));
    }
}

#[test]
fn every_component_of_a_request_is_read_as_the_rfc_says() {
    for (component, value) in [
        (r#""@method""#, "POST"),
        (r#""@target-uri""#, "https://example.com/foo?param=Value&Pet=dog"),
        (r#""@authority""#, "example.com"),
        (r#""@scheme""#, "https"),
        (r#""@request-target""#, "/foo?param=Value&Pet=dog"),
        (r#""@path""#, "/foo"),
        (r#""@query""#, "?param=Value&Pet=dog"),
        (r#""@query-param";name="Pet""#, "dog"),
    ] {
        let sender = sender(SHARED, KeyForm::Base64, &[]);
        let (input, signature) =
            signed(component, ";created=1618884473", &format!("{component}: {value}\n"));
        assert_eq!(kind(&sender, &request(&input, &signature), BODY), None, "{component}");
    }
    // What the sender was given goes before what the request says.
    let mut behind = sender(SHARED, KeyForm::Base64, &[]);
    behind.public_url = Some("https://hooks.example.org:8443/in".to_owned());
    let base = "\"@authority\": hooks.example.org:8443\n\"@target-uri\": https://hooks.example.org:8443/in?param=Value&Pet=dog\n";
    let (input, signature) = signed(r#""@authority" "@target-uri""#, ";created=1618884473", base);
    assert_eq!(kind(&behind, &request(&input, &signature), BODY), None);
}

#[test]
fn times_are_judged_and_have_to_be_there() {
    let sender = sender(SHARED, KeyForm::Base64, &[]);
    let judge = |parameters: &str, now: UnixMillis| {
        let (input, signature) = signed("", parameters, "");
        let request = request(&input, &signature);
        let genuine = verify_check(&sender, &sender.new_keys(), request.view(), BODY);
        let judged = genuine.and_then(|genuine| {
            sender.check_token_freshness(genuine.sent(), genuine.lifetime(), now)
        });
        judged.err().map(|fault| fault.kind())
    };
    let after = |seconds: i64| UnixMillis(CREATED.0 + seconds * 1000);
    assert_eq!(judge(";created=1618884473", after(300)), None);
    assert_eq!(judge(";created=1618884473", after(301)), Some(FaultKind::TimestampTooOld));
    assert_eq!(judge(";created=1618884473", after(-61)), Some(FaultKind::TimestampInFuture));
    let expiring = ";created=1618884473;expires=1618884483";
    assert_eq!(judge(expiring, after(60)), None);
    assert_eq!(judge(expiring, after(70)), Some(FaultKind::TimestampTooOld));
    assert_eq!(judge("", after(0)), Some(FaultKind::TimestampMissing));
}

#[test]
fn what_is_not_of_the_form_is_malformed() {
    let sender = sender(SHARED, KeyForm::Base64, &[]);
    let malformed = Some(FaultKind::SignatureMalformed);
    for (input, signature) in [
        ("", B25.1),
        ("sig-b25", B25.1),
        (r#"sig-b25=("date" "date");created=1"#, B25.1),
        (r#"sig-b25=("date";sf);created=1"#, B25.1),
        (r#"sig-b25=("date";bs);created=1"#, B25.1),
        (r#"sig-b25=("@method";req);created=1"#, B25.1),
        (r#"sig-b25=("date"#, B25.1),
        (r#"sig-b25=("date");created="1618884473""#, B25.1),
        (r#"sig-b25=("date");created=1;created=2"#, B25.1),
        (r#"sig-b25=("date");created=1, sig-b25=("host");created=1"#, B25.1),
        (r#"sig-b25=("date") trailing"#, B25.1),
        (r#"sig-b25=("Date");created=1"#, B25.1),
        (r#"sig-b25=("@status");created=1"#, B25.1),
        (r#"other=("date");created=1"#, B25.1),
        (B25.0, "sig-b25"),
        (B25.0, "sig-b25=pxcQ"),
        (B25.0, "sig-b25=:px cQ:"),
        (B25.0, "sig-b25=:pxcQ:, sig-b25=:pxcQ:"),
    ] {
        assert_eq!(
            kind(&sender, &request(input, signature), BODY),
            malformed,
            "{input} {signature}"
        );
    }
    let mut none = request(B25.0, B25.1);
    none.headers.remove("signature-input");
    assert_eq!(kind(&sender, &none, BODY), Some(FaultKind::SignatureMissing));
}
