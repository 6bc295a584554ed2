//! The last deliveries, listed and streamed.

use super::*;

fn deliveries(proxy: &Proxy, query: &str) -> Vec<Value> {
    let found = json_of(&get(proxy.admin, &format!("/deliveries{query}")));
    found["deliveries"].as_array().unwrap().clone()
}

#[test]
fn the_last_deliveries_are_told_newest_first_with_the_fields_of_their_lines() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for id in ["a", "b"] {
        assert_eq!(deliver(&proxy, id).outcome(), "delivered");
    }
    assert_eq!(deliver(&proxy, "a").outcome(), "duplicate");
    let forged = Event::order("forged").signed().replacing("X-Signature", "sha256=00");
    Sender::to(&proxy).deliver(&forged);
    get(proxy.address, "/elsewhere");
    let all = deliveries(&proxy, "");
    let outcomes: Vec<&str> = all.iter().map(|d| d["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["rejected", "rejected", "duplicate", "delivered", "delivered"]);
    let mut members: Vec<&String> = all[4].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "at",
            "body_bytes",
            "client",
            "destinations",
            "duration_ms",
            "event_id",
            "event_type",
            "outcome",
            "reason",
            "source",
            "status",
            "trace_id"
        ]
    );
    assert_eq!(all[4]["event_id"], "a");
    assert_eq!(all[4]["destinations"][0]["name"], "erp");
    assert_eq!(
        (&all[1]["reason"], &all[1]["event_id"]),
        (&json!("signature_malformed"), &json!(""))
    );
    assert_eq!(deliveries(&proxy, "?outcome=delivered&limit=1")[0]["event_id"], "b");
    assert_eq!(deliveries(&proxy, "?source=shop&reason=signature_malformed").len(), 1);
    assert_eq!(deliveries(&proxy, "?source=").len(), 1, "those that matched no source");
    for bad in ["?limit=0", "?limit=501", "?limit=x"] {
        assert_eq!(get(proxy.admin, &format!("/deliveries{bad}")).status, 400, "{bad}");
    }
    assert!(!get(proxy.admin, "/deliveries").text().contains("\"data\""), "a body is told");
}

#[test]
fn the_last_five_hundred_are_kept_and_no_more() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let mut connection = Connection::open(proxy.address);
    let forged = Event::order("a").signed().replacing("X-Signature", "sha256=00");
    assert_eq!(deliver(&proxy, "kept").outcome(), "delivered");
    for _ in 0..600 {
        assert_eq!(connection.send(forged.bytes(proxy.address)).response().status, 401);
    }
    assert_eq!(deliveries(&proxy, "?limit=500").len(), 500);
    assert_eq!(deliveries(&proxy, "").len(), 100);
    assert_eq!(deliveries(&proxy, "?outcome=delivered").len(), 1, "a flood leaves what verified");
}

/// A viewer of the stream, with its head read.
fn viewer(proxy: &Proxy) -> std::io::BufReader<std::net::TcpStream> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = std::net::TcpStream::connect(proxy.admin).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let ask = "GET /deliveries/stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(ask.as_bytes()).unwrap();
    let mut reader = std::io::BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 && !line.ends_with("\n\r\n") {}
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    assert!(line.to_ascii_lowercase().contains("content-type: text/event-stream"), "{line}");
    reader
}

#[test]
fn deliveries_are_streamed_as_they_end() {
    use std::io::BufRead as _;
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let mut lines = viewer(&proxy).lines();
    assert_eq!(deliver(&proxy, "evt-1").outcome(), "delivered");
    let line = lines.find_map(|line| Some(line.unwrap().strip_prefix("data: ")?.to_owned()));
    let told: Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert_eq!((&told["event_id"], &told["outcome"]), (&json!("evt-1"), &json!("delivered")));
    assert_eq!(told, deliveries(&proxy, "")[0]);
}

#[test]
fn the_stream_has_at_most_thirty_two_viewers_and_one_that_hangs_holds_nothing_up() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let held: Vec<_> = (0..32).map(|_| viewer(&proxy)).collect();
    assert_eq!(get(proxy.admin, "/deliveries/stream").status, 503);
    let mut connection = Connection::open(proxy.address);
    for number in 0..2000 {
        let delivery = Event::order(&format!("evt-{number}")).signed();
        assert_eq!(connection.send(delivery.bytes(proxy.address)).response().status, 200);
    }
    drop(held);
    eventually("a place is free again", || {
        deliver(&proxy, "once-more");
        let mut stream = Connection::open(proxy.admin);
        stream.send("GET /deliveries/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.informational() == 200
    });
}

#[test]
fn a_viewer_does_not_hold_up_the_end_of_the_process() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).start();
    let held = viewer(&proxy);
    proxy.signal("TERM");
    let ended = proxy.ends_within(std::time::Duration::from_secs(5));
    assert_eq!(ended.code(), Some(0), "{}", proxy.log());
    drop(held);
}
