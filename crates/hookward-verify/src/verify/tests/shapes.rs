//! Tests of the forms that senders give to signatures and texts.

use super::super::fixture::{head, source, template};
use super::super::*;
use super::{hex, mac, reason};
use crate::fault::FaultKind;
use crate::scheme::{Encoding, TimeFormat};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};

#[test]
fn positional_items_hold_a_timestamp_and_signatures() {
    // Recurly's shape: `{ts},hex[,hex]`.
    let recurly = source("X-Sig").with_timestamp("item:#0", TimeFormat::UnixMs).with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.signed = template("{timestamp}.{body}");
    });
    let good = hex("topsecret", "1700000000000.body");
    let old = hex("rotated", "1700000000000.body");
    for (value, expected) in [
        (format!("1700000000000,{good}"), None),
        (format!("1700000000000,{old},{good}"), None),
        (format!("1700000000000,{old}"), Some(FaultKind::SignatureMismatch)),
        (format!("{good},1700000000000"), Some(FaultKind::TimestampMalformed)),
        (good.clone(), Some(FaultKind::TimestampMalformed)),
        ("1700000000000".to_owned(), Some(FaultKind::SignatureMalformed)),
    ] {
        assert_eq!(reason(&recurly, &head(&[("X-Sig", &value)]), b"body"), expected, "{value}");
    }
    // Worldpay's shape: `{key id}/SHA256/{signature}`, several of them.
    let worldpay = source("Event-Signature").with_rule(|rule| {
        rule.separator = Some(",".to_owned());
        rule.prefix = "*/SHA256/".to_owned();
    });
    let good = hex("topsecret", "body");
    for (value, expected) in [
        (format!("1/SHA256/{good}"), None),
        (format!("2/SHA256/{old},1/SHA256/{good}"), None),
        (format!("1/SHA1/{good}"), Some(FaultKind::SignatureMalformed)),
    ] {
        let request = head(&[("Event-Signature", &value)]);
        assert_eq!(reason(&worldpay, &request, b"body"), expected, "{value}");
    }
}

#[test]
fn one_matching_header_of_a_list_is_enough() {
    // Box's shape: a header per key, the body before the time.
    let mut source = source("Box-Signature-Primary")
        .with_timestamp("header:Box-Delivery-Timestamp", TimeFormat::Rfc3339)
        .with_rule(|rule| {
            rule.encoding = Encoding::Base64;
            rule.signed = template("{body}{timestamp}");
        });
    source
        .scheme
        .signature
        .places
        .push(crate::scheme::Place::parse("header:Box-Signature-Secondary").expect("a place"));
    let time = "2020-01-01T00:00:00-07:00";
    let good = BASE64.encode(&mac(b"topsecret", format!("body{time}").as_bytes()));
    let bad = BASE64.encode(&[0; 32]);
    for (primary, secondary, expected) in [
        (Some(&good), None, None),
        (None, Some(&good), None),
        (Some(&bad), Some(&good), None),
        (Some(&bad), Some(&bad), Some(FaultKind::SignatureMismatch)),
        (None, None, Some(FaultKind::SignatureMissing)),
    ] {
        let mut lines = vec![("Box-Delivery-Timestamp", time)];
        lines.extend(primary.map(|value| ("Box-Signature-Primary", value.as_str())));
        lines.extend(secondary.map(|value| ("Box-Signature-Secondary", value.as_str())));
        assert_eq!(reason(&source, &head(&lines), b"body"), expected);
    }
}

#[test]
fn an_optional_prefix_may_lack() {
    let mollie = source("X-Sig").with_rule(|rule| {
        rule.prefix = "sha256=".to_owned();
        rule.prefix_optional = true;
    });
    let good = hex("topsecret", "body");
    for value in [good.clone(), format!("sha256={good}")] {
        assert_eq!(reason(&mollie, &head(&[("X-Sig", &value)]), b"body"), None);
    }
}

#[test]
fn a_form_is_signed_as_its_sorted_fields() {
    // twilio-python, tests/unit/test_request_validator.py: token 12345.
    let mut twilio = source("X-Twilio-Signature").with_secrets(&["12345"]).with_rule(|rule| {
        rule.algorithm = Algorithm::HmacSha1;
        rule.encoding = Encoding::Base64;
        rule.signed = template("{url}{form}");
    });
    twilio.public_url = Some("https://mycompany.com/myapp.php".to_owned());
    let request = |signature: &str, content_type: &str, query: &str| {
        let mut head = head(&[("X-Twilio-Signature", signature), ("Content-Type", content_type)]);
        head.query = Some(query.to_owned());
        head
    };
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let good = request("RSOYDt4T1cUTdK1PDd93/VVr8B8=", form, "foo=1&bar=2");
    let body = b"To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14158675309&\
                 CallSid=CA1234567890ABCDE";
    assert_eq!(reason(&twilio, &good, body), None);
    assert_eq!(reason(&twilio, &good, b"To=%2B18005551212"), Some(FaultKind::SignatureMismatch));
    // A JSON body is bound by its hash in the query, which the URL's signature covers.
    let hash = body_sha256(b"{}");
    for (query, body, expected) in [
        (format!("bodySHA256={hash}"), "{}", None),
        (format!("bodySHA256={hash}"), "{ }", Some(FaultKind::SignatureMismatch)),
        ("a=b".to_owned(), "{}", Some(FaultKind::SignatureMismatch)),
    ] {
        let text = format!("https://mycompany.com/myapp.php?{query}");
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(b"12345").expect("a key");
        mac.update(text.as_bytes());
        let tag = BASE64.encode(&mac.finalize().into_bytes());
        let request = request(&tag, "application/json", &query);
        assert_eq!(reason(&twilio, &request, body.as_bytes()), expected, "{query} {body}");
    }
}
