//! Tests of what is read from a JSON body, and what is refused.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).expect("a pointer")
}

fn read<'a>(body: &'a str, at: &str) -> Result<Member<'a>, PayloadFault> {
    read_members(body.as_bytes(), &[&pointer(at)]).map(|mut found| found.remove(0))
}

#[test]
fn a_string_or_integer_is_read_as_written_and_nothing_else_is_text() {
    let long = "9".repeat(4000);
    let long_body = format!("{{\"id\":{long}}}");
    for (body, at, expected) in [
        (r#"{"id":"a"}"#, "/id", Member::Text("a".into())),
        (r#"{"id":"a\u00e9\/"}"#, "/id", Member::Text("aé/".into())),
        (r#"{"i\u0064":"a"}"#, "/id", Member::Text("a".into())),
        (r#"{"id":-0}"#, "/id", Member::Integer("-0")),
        (long_body.as_str(), "/id", Member::Integer(long.as_str())),
        (r#"{"id":null}"#, "/id", Member::Absent),
        (r#"{"ID":1}"#, "/id", Member::Absent),
        (r#"{"id":""}"#, "/id", Member::Text("".into())),
        (r#"{"id":1.0}"#, "/id", Member::Unusable("a number that is not an integer")),
        (r#"{"id":1e2}"#, "/id", Member::Unusable("a number that is not an integer")),
        (r#"{"id":true}"#, "/id", Member::Unusable("a boolean")),
        (r#"{"id":{"a":1}}"#, "/id", Member::Unusable("an object")),
        (r#"{"id":[1]}"#, "/id", Member::Unusable("an array")),
        (r#"{"id":"\ud800"}"#, "/id", Member::Unusable("a string with half a surrogate pair")),
        (r#"{"data":{"id":7}}"#, "/data/id", Member::Integer("7")),
        (r#"{"data":"x"}"#, "/data/id", Member::Absent),
        (r#"[{"id":1},{"id":2}]"#, "/1/id", Member::Integer("2")),
        (r#"[{"id":1}]"#, "/01/id", Member::Absent),
        (r#"{"a/b":{"~":1}}"#, "/a~1b/~0", Member::Integer("1")),
        (" {\"id\" : 1 } \r\n", "/id", Member::Integer("1")),
        ("7", "/id", Member::Absent),
        (r#"{"\ud800":1,"id":2}"#, "/id", Member::Integer("2")),
    ] {
        assert_eq!(read(body, at), Ok(expected), "{body} {at}");
    }
}

#[test]
fn what_is_not_one_json_text_is_refused() {
    for body in [
        "",
        "{",
        "{}{}",
        "{\"id\":1}x",
        "\u{feff}{\"id\":1}",
        "{\"id\":1,}",
        "{'id':1}",
        "{\"id\":01}",
        "{\"id\":\"a\nb\"}",
        "{\"x\":NaN,\"id\":1}",
        "{\"x\":\"\\q\",\"id\":1}",
        "{\"x\":[1,],\"id\":1}",
        "{\"\u{2}\":0,\"id\":1}",
        "{\"\u{2}\\u0041\":0,\"id\":1}",
    ] {
        assert!(read(body, "/id").is_err(), "{body:?}");
    }
    assert!(read_members(b"{\"x\":\"\xff\",\"id\":1}", &[&pointer("/id")]).is_err());
}

#[test]
fn a_member_that_is_read_must_not_stand_twice() {
    for (body, at) in [
        (r#"{"id":1,"id":2}"#, "/id"),
        (r#"{"id":1,"i\u0064":1}"#, "/id"),
        (r#"{"id":null,"id":1}"#, "/id"),
        (r#"{"data":{"id":1},"data":{}}"#, "/data/id"),
        (r#"{"data":7,"data":{"id":1}}"#, "/data/id"),
        (r#"{"data":{"id":1,"id":1}}"#, "/data/id"),
    ] {
        let fault = read(body, at).expect_err(body);
        assert!(fault.0.contains("appears twice"), "{body}: {fault}");
    }
    assert_eq!(read(r#"{"x":1,"x":2,"id":3}"#, "/id"), Ok(Member::Integer("3")));
    assert_eq!(read(r#"{"a":{"id":1,"id":2},"id":3}"#, "/id"), Ok(Member::Integer("3")));
}

#[test]
fn a_pointer_may_end_where_another_leads_on() {
    let (whole, inner) = (pointer("/a"), pointer("/a/b"));
    let found = read_raw(br#"{"a": {"b" : 1} }"#, &[&whole, &inner]).expect("JSON");
    assert_eq!(found, [Some(r#"{"b" : 1}"#), Some("1")]);
    let twice = read_members(br#"{"a":{"b":1,"b":2}}"#, &[&whole, &inner]);
    assert!(twice.is_err());
}

#[test]
fn more_pointers_than_a_pass_holds_are_all_read() {
    let pointers: Vec<Pointer> = (0..130).map(|n| pointer(&format!("/{n}"))).collect();
    let wanted: Vec<&Pointer> = pointers.iter().collect();
    let body = format!("[{}]", (0..130).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let found = read_members(body.as_bytes(), &wanted).expect("JSON");
    for (n, member) in found.iter().enumerate() {
        assert_eq!(member.text(), Some(n.to_string().as_str()));
    }
}

#[test]
fn nesting_is_no_reason_to_refuse() {
    let depth = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nest = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let beside = format!("{{\"x\":{nest},\"id\":1}}");
        assert_eq!(read(&beside, "/id"), Ok(Member::Integer("1")));
        let at = format!("{{\"id\":{nest}}}");
        assert!(matches!(read(&at, "/id"), Ok(Member::Unusable(_))));
        assert_eq!(read(&nest, "/b/c"), Ok(Member::Absent));
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[ab~/0-2é]{1,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reading_agrees_with_a_tree(
        value in json(),
        paths in prop::collection::vec(prop::collection::vec("[ab~/0-2é]{1,2}", 1..4), 1..4),
        pretty in any::<bool>(),
    ) {
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let body = body.expect("text");
        let pointers: Vec<Pointer> = paths
            .iter()
            .map(|path| {
                let escaped = path.iter().map(|t| t.replace('~', "~0").replace('/', "~1"));
                pointer(&format!("/{}", escaped.collect::<Vec<_>>().join("/")))
            })
            .collect();
        let wanted: Vec<&Pointer> = pointers.iter().collect();
        let found = read_members(body.as_bytes(), &wanted).expect("JSON");
        for (pointer, member) in pointers.iter().zip(found) {
            let expected = match value.pointer(&pointer.to_string()) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) if number.is_i64() => Some(number.to_string()),
                _ => None,
            };
            prop_assert_eq!(member.text().map(str::to_owned), expected, "{}", pointer);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_but_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = read_members(&body, &[&pointer("/a/0"), &pointer("/b")]);
    }

    #[test]
    fn grammar_is_judged_as_serde_json_judges_it(body in r#"[\[\]{}:,"a1\-. ent]{0,12}"#) {
        let ours = read_members(body.as_bytes(), &[&pointer("/b/c")]).is_ok();
        let theirs = serde_json::from_str::<Value>(&body).is_ok();
        prop_assert_eq!(ours, theirs, "{}", body);
    }
}
