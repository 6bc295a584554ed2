use super::*;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

fn head(lines: &[(&'static str, &'static str)]) -> RequestHead {
    let mut headers = FieldLines::default();
    for (name, value) in lines {
        headers.push(&HeaderName::from_static(name), &HeaderValue::from_static(value));
    }
    RequestHead {
        method: Method::POST,
        path: "/webhooks/shop".into(),
        query: None,
        headers,
        client: "203.0.113.7".parse().unwrap(),
        via: None,
        ignored_forwarding: false,
        host: "hooks.example.com".into(),
        secure: true,
    }
}

fn facts<'a>(event_id: &'a str, event_type: &'a str) -> VerifiedFacts<'a> {
    VerifiedFacts {
        source: "shop",
        event_id,
        event_type,
        verified_at: UnixMillis(1_773_656_430_123),
    }
}

fn sent(head: &RequestHead) -> HeaderMap {
    let facts = facts("evt_1", "order.created");
    let trace = Trace::of(&head.headers);
    HeaderMap::from(&for_upstream(head, &Passing::default(), Some(&facts), &trace))
}

#[test]
fn ours_are_added() {
    let headers = sent(&head(&[]));
    for (name, expected) in [
        ("hookward-source", "shop"),
        ("hookward-event-id", "evt_1"),
        ("hookward-event-type", "order.created"),
        ("hookward-verified-at", "2026-03-16T10:20:30.123Z"),
        ("idempotency-key", r#""shop:evt_1""#),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "hooks.example.com"),
    ] {
        assert_eq!(headers[name], expected, "{name}");
    }
    assert_eq!(headers.len(), 9, "{headers:?}");
}

#[test]
fn what_speaks_of_the_connection_or_could_be_forged_is_dropped_and_the_rest_kept() {
    let headers = sent(&head(&[
        ("connection", "keep-alive, X-Nominated"),
        ("connection", "x-also"),
        ("x-nominated", "1"),
        ("x-also", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("expect", "100-continue"),
        ("host", "hooks.example.com"),
        ("content-length", "5"),
        ("hookward-source", "forged"),
        ("hookward-outcome", "forged"),
        ("idempotency-key", "\"forged\""),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-port", "1"),
        ("tracestate", "of=nothing"),
        ("x-signature", "sha256=00"),
        ("x-repeated", "one"),
        ("x-repeated", "two"),
        ("content-type", "application/json"),
    ]));
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(
        names,
        [
            "x-signature",
            "x-repeated",
            "content-type",
            "hookward-source",
            "hookward-event-id",
            "hookward-event-type",
            "hookward-verified-at",
            "idempotency-key",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "traceparent",
        ]
    );
    assert_eq!(headers.get_all("x-repeated").iter().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(headers["hookward-source"], "shop");
    assert_eq!(headers["x-forwarded-for"], "203.0.113.7");
}

#[test]
fn a_trusted_proxy_is_believed_and_named_last() {
    let mut head = head(&[
        ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
        ("x-forwarded-host", "outer.example.com"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=203.0.113.7"),
    ]);
    head.via = Some("10.0.0.9".parse().unwrap());
    let headers = sent(&head);
    assert_eq!(headers["x-forwarded-for"], "198.51.100.1, 203.0.113.7, 10.0.0.9");
    assert_eq!(headers["x-forwarded-host"], "outer.example.com");
    assert_eq!(headers["x-forwarded-port"], "443");
    assert_eq!(headers["forwarded"], "for=203.0.113.7");
}

#[test]
fn a_value_is_encoded_where_it_must_be_so_that_no_two_look_alike() {
    for (text, expected) in [
        ("evt_1", "evt_1"),
        ("100% of it", "100%25 of it"),
        ("a%C3%A9", "a%25C3%25A9"),
        ("a\u{e9}", "a%C3%A9"),
        ("año", "a%C3%B1o"),
        ("100% año", "100%25 a%C3%B1o"),
        (" edge", "%20edge"),
        ("a\r\nInjected: 1", "a%0D%0AInjected: 1"),
    ] {
        assert_eq!(printable(text), expected, "{text:?}");
    }
    for (id, expected) in [
        (r#"say "hi" \ "#, r#""shop:say \"hi\" \\ ""#),
        ("50%", r#""shop:50%25""#),
        ("a%C3%A9", r#""shop:a%25C3%25A9""#),
        ("a\u{e9}", r#""shop:a%C3%A9""#),
        ("50% \u{1}", r#""shop:50%25 %01""#),
    ] {
        assert_eq!(idempotency_key("shop", id), expected, "{id:?}");
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

proptest! {
    #[test]
    fn any_id_and_type_make_valid_headers_that_decode_back(id in ".*", kind in ".*") {
        let head = head(&[]);
        let (facts, trace) = (facts(&id, &kind), Trace::of(&head.headers));
        let lines = for_upstream(&head, &Passing::default(), Some(&facts), &trace);
        let headers = HeaderMap::from(&lines);
        for (name, text) in [(HOOKWARD_EVENT_ID, &id), (HOOKWARD_EVENT_TYPE, &kind)] {
            let line = headers[&name].to_str().unwrap();
            prop_assert_eq!(line, line.trim());
            prop_assert_eq!(decoded(line), text.as_str(), "{:?}", line);
        }
        let key = headers[&IDEMPOTENCY_KEY].to_str().unwrap();
        let inner = key.strip_prefix('"').and_then(|k| k.strip_suffix('"')).unwrap();
        let mut unescaped = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            prop_assert_ne!(character, '"');
            unescaped.push(if character == '\\' { characters.next().unwrap() } else { character });
        }
        prop_assert_eq!(decoded(&unescaped), format!("shop:{id}"));
    }
}

proptest! {
    #[test]
    fn an_address_is_written_as_it_is_printed(address: IpAddr) {
        let mut written = b"203.0.113.1, ".to_vec();
        write_address(address, &mut written);
        prop_assert_eq!(written, format!("203.0.113.1, {address}").into_bytes());
    }
}
