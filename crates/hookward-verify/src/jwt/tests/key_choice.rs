//! Which keys are asked for and used.

use super::*;

#[test]
fn a_key_is_asked_for_only_for_a_token_of_a_configured_algorithm() {
    let (mut sender, _) = es256();
    sender.key_sites = vec![crate::sender::KeySite {
        entry: 0,
        label: "0".to_owned(),
        url: url::Url::parse("https://keys.example.com/certs").expect("a URL"),
        kind: crate::sender::KeySiteKind::Set,
    }];
    let wanted = demand(&sender, bearing(&token_with(ES, "{}")).view(), b"", NOW);
    assert!(matches!(wanted, Ok(Demand::Published { key_id: Some(id) }) if id == "k1"));
    for header in [r#"{"alg":"none","kid":"k9"}"#, r#"{"alg":"RS256","kid":"k9"}"#] {
        let wanted = demand(&sender, bearing(&token_with(header, "{}")).view(), b"", NOW);
        assert_eq!(wanted.err().map(|f| f.kind()), Some(FaultKind::SignatureMismatch));
    }
}

#[test]
fn a_key_for_something_else_is_no_key() {
    let with = |more: &str| RS256_KEY.replacen('{', &format!("{{{more},"), 1);
    for (more, fits) in [
        (r#""use":"sig""#, true),
        (r#""use":"enc""#, false),
        (r#""use":7"#, false),
        (r#""key_ops":["verify"]"#, true),
        (r#""key_ops":["encrypt"]"#, false),
        (r#""alg":"RS256""#, true),
        (r#""alg":"ES256""#, false),
        (r#""alg":"RSA-OAEP""#, false),
        (r#""expired_at":1700000000"#, false),
        (r#""expired_at":null"#, true),
    ] {
        let read = KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, with(more)).as_bytes());
        assert_eq!(read.is_ok(), fits, "{more}");
    }
    for text in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
        r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"keys":[],"keys":[]}"#,
    ] {
        assert!(KeySet::from_json(text.as_bytes()).is_err(), "{text}");
    }
    // A key that says PS256 makes no RS256.
    let (sender, only) = (jwt(&[JwtAlgorithm::Rs256]), set(&[&with(r#""alg":"PS256""#)]));
    let token = format!("{}.{JOE}.{RS256}", encoded(r#"{"alg":"RS256"}"#));
    assert_eq!(kind(&sender, &keys(&[&only]), &token), Some(FaultKind::SignatureMismatch));
}
