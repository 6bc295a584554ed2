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

/// Appendix B.1.2: the RSA key, in a set that says what it is for.
const PSS_SET: &str = r#"{"keys":[{"kty":"RSA","kid":"test-key-rsa-pss","alg":"PS512","e":"AQAB","n":"r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w"}]}"#;
const B22: (&str, &str) = (
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
);
const B23: (&str, &str) = (
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
);

#[test]
fn the_examples_of_the_rfc_with_rsa_pss_verify_with_the_body_and_no_other() {
    let set = crate::keys::KeySet::from_json(PSS_SET.as_bytes()).expect("a set");
    let keys = Keys::of_sets([(0, "0", &set)]);
    for ((input, signature), components) in
        [(B22, &["@authority", "content-digest"][..]), (B23, &["@method", "content-digest"])]
    {
        let sender = sender(SHARED, KeyForm::Base64, components);
        let judge = |head: &Head, body: &[u8]| {
            verify_check(&sender, &keys, head.view(), body).err().map(|fault| fault.kind())
        };
        let good = request(input, signature);
        assert_eq!(judge(&good, BODY), None, "{input}");
        let mismatch = Some(FaultKind::SignatureMismatch);
        assert_eq!(judge(&good, br#"{"hello": "world!"}"#), mismatch, "another body");
        let mut other = good.clone();
        other.query = Some("param=Value&Pet=cat".to_owned());
        assert_eq!(judge(&other, BODY), mismatch, "another query");
        // Of the same key, by PKCS #1 v1.5 as a key that says nothing would be read.
        let silent = PSS_SET.replace(r#""alg":"PS512","#, "");
        let set = crate::keys::KeySet::from_json(silent.as_bytes()).expect("a set");
        let keys = Keys::of_sets([(0, "0", &set)]);
        let judged = verify_check(&sender, &keys, good.view(), BODY);
        assert_eq!(judged.err().map(|fault| fault.kind()), mismatch);
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
