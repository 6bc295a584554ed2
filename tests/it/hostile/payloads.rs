//! Payloads designed to be misread.

use super::signed;
use crate::support::{Event, Sender, Setup, Upstream, rfc3339_in};

#[test]
fn a_compressed_body_is_never_unpacked() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    for coding in ["gzip", "br", "zstd", "identity, gzip", "x", "gzip, gzip, gzip", ",gzip,"] {
        let encoded = good.clone().with("Content-Encoding", coding);
        let response = Sender::to(&proxy).deliver(&encoded);
        assert_eq!(
            response.verdict(),
            (415, "rejected", "content_encoding".to_owned()),
            "{coding}"
        );
    }
    let twice = good.with("Content-Encoding", "identity").with("Content-Encoding", "gzip");
    assert_eq!(Sender::to(&proxy).deliver(&twice).status, 415);
    assert!(erp.seen().is_empty());
    for (n, coding) in ["", ",", "identity", " identity , Identity"].into_iter().enumerate() {
        let plain = Event::order(&format!("plain-{n}")).signed().with("Content-Encoding", coding);
        assert_eq!(Sender::to(&proxy).deliver(&plain).outcome(), "delivered", "{coding:?}");
    }
    erp.saw(4);
}

#[test]
fn a_payload_built_to_exhaust_a_parser_is_read_or_refused() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let at = rfc3339_in(0);
    let known = |id: &str| format!(r#""event_id":"{id}","type":"t","created_at":"{at}""#);
    let deep = 400_000;
    let many = (0..40_000).map(|n| format!(r#""k{n}":{n},"#)).collect::<Vec<_>>().concat();
    for (what, body, expected) in [
        (
            "nested arrays",
            format!(r#"{{"x":{}{},{}}}"#, "[".repeat(deep), "]".repeat(deep), known("a")),
            "",
        ),
        (
            "nested objects",
            format!(
                r#"{{"x":{}1{},{}}}"#,
                r#"{"x":"#.repeat(150_000),
                "}".repeat(150_000),
                known("b")
            ),
            "",
        ),
        ("many members", format!("{{{many}{}}}", known("c")), ""),
        (
            "a number of 500,000 digits",
            format!(r#"{{"x":{},{}}}"#, "9".repeat(500_000), known("d")),
            "",
        ),
        ("an exponent out of all range", format!(r#"{{"x":1e999999999,{}}}"#, known("e")), ""),
        ("arrays that do not end", "[".repeat(deep), "payload_malformed"),
        ("a NUL behind it", format!("{{{}}}\0", known("f")), "payload_malformed"),
        (
            "a control character in a name",
            format!("{{\"\u{1}\":1,{}}}", known("g")),
            "payload_malformed",
        ),
        (
            "an id of 200,000 characters",
            format!("{{{}}}", known(&"i".repeat(200_000))),
            "payload_malformed",
        ),
    ] {
        assert_eq!(Sender::to(&proxy).deliver(&signed(&body)).reason(), expected, "{what}");
    }
    erp.saw(5);
}
