//! What an upstream sees: section 5 of the contract.

use crate::support::{Delivery, Event, Proxy, Reply, Sender, Setup, Upstream, eventually};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn a_body_arrives_byte_for_byte_at_every_size() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    // Around the read buffer and the retry buffer of the HTTP library, and the limit itself.
    let sizes = [128, 4096, 65_535, 65_536, 65_537, 200_000, 1_048_575, 1_048_576];
    for (index, size) in sizes.into_iter().enumerate() {
        let delivery = Event::order(&format!("size-{size}")).padded_to(size).signed();
        assert_eq!(delivery.body.len(), size);
        let response = sender.deliver(&delivery);
        assert_eq!(response.verdict(), (200, "delivered", String::new()), "{size} bytes");
        let seen = erp.saw(index + 1).pop().unwrap();
        assert!(seen.body == delivery.body, "{size} bytes arrived changed");
        assert_eq!(seen.header("Content-Length"), size.to_string());
    }
}

#[test]
fn a_body_of_100_bytes_arrives_as_it_is() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("e").padded_to(100).signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    assert_eq!(erp.saw(1)[0].body, delivery.body);
}

#[test]
fn a_chunked_body_is_forwarded_with_one_length() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    for (index, chunk) in [7, 1000, 70_000].into_iter().enumerate() {
        let delivery = Event::order(&format!("chunk-{chunk}")).padded_to(150_000).signed();
        let bytes = delivery.chunked(proxy.address, chunk);
        let response = crate::support::Connection::open(proxy.address).send(bytes).response();
        assert_eq!(response.outcome(), "delivered");
        let seen = erp.saw(index + 1).pop().unwrap();
        assert!(seen.body == delivery.body);
        assert_eq!(seen.header("Content-Length"), "150000");
    }
}

#[test]
fn the_upstream_is_told_what_was_verified() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let response = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(response.outcome(), "delivered");
    let seen = erp.saw(1).pop().unwrap();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.header("Hookward-Source"), "shop");
    assert_eq!(seen.header("Hookward-Event-Id"), "evt-1");
    assert_eq!(seen.header("Hookward-Event-Type"), "order.created");
    assert_eq!(seen.header("Idempotency-Key"), "\"shop:evt-1\"");
    assert_eq!(seen.header("Host"), erp.address().to_string());
    assert_eq!(seen.header("X-Forwarded-For"), "127.0.0.1");
    assert_eq!(seen.header("X-Forwarded-Proto"), "http");
    assert_eq!(seen.header("X-Forwarded-Host"), proxy.address.to_string());
    assert_eq!(seen.header("Content-Type"), "application/json");
    let verified_at = seen.header("Hookward-Verified-At");
    let shape: String =
        verified_at.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{verified_at}");
}

#[test]
fn the_senders_headers_pass_but_no_hop_by_hop_or_forged_ones() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("evt-1")
        .signed()
        .with("User-Agent", "shop/1.0")
        .with("X-Twice", "one")
        .with("X-Twice", "two")
        .with("Connection", "keep-alive, X-Nominated")
        .with("X-Nominated", "hop")
        .with("Keep-Alive", "timeout=5")
        .with("TE", "trailers")
        .with("Proxy-Authorization", "Basic eA==")
        .with("Hookward-Event-Id", "forged")
        .with("hookward-anything", "forged")
        .with("Idempotency-Key", "forged")
        .with("Forwarded", "for=1.2.3.4")
        .with("X-Forwarded-For", "1.2.3.4")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Host", "forged.example")
        .with("X-Forwarded-Port", "443");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let seen = erp.saw(1).pop().unwrap();
    assert_eq!(seen.header("User-Agent"), "shop/1.0");
    assert_eq!(seen.all("X-Twice"), ["one", "two"]);
    assert_eq!(seen.header("X-Signature"), delivery.headers[1].1);
    for gone in ["X-Nominated", "Keep-Alive", "TE", "Proxy-Authorization", "Forwarded"] {
        assert_eq!(seen.all(gone), [""; 0], "{gone}");
    }
    assert!(!format!("{:?}", seen.headers).contains("forged"), "{:?}", seen.headers);
    assert_eq!(seen.all("hookward-anything"), [""; 0]);
    assert_eq!(seen.header("X-Forwarded-For"), "127.0.0.1");
    assert_eq!(seen.header("X-Forwarded-Proto"), "http");
    assert_eq!(seen.all("X-Forwarded-Port"), [""; 0]);
}

#[test]
fn a_trusted_proxys_word_on_the_sender_is_believed() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let delivery = Event::order("evt-1")
        .signed()
        .with("X-Forwarded-For", "203.0.113.9")
        .with("X-Forwarded-Proto", "https")
        .with("X-Forwarded-Host", "hooks.example.com");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let seen = erp.saw(1).pop().unwrap();
    assert_eq!(seen.header("X-Forwarded-For"), "203.0.113.9, 127.0.0.1");
    assert_eq!(seen.header("X-Forwarded-Proto"), "https");
    assert_eq!(seen.header("X-Forwarded-Host"), "hooks.example.com");
}

#[test]
fn an_id_that_cannot_stand_in_a_header_is_percent_encoded() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let sender = Sender::to(&proxy);
    for (index, (json, header)) in [
        ("a\\u00e9b", "a%C3%A9b"),
        ("a%C3%A9b", "a%25C3%25A9b"),
        ("a\\r\\nX-Forged: 1", "a%0D%0AX-Forged: 1"),
        ("\\u00fc 100%", "%C3%BC 100%25"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(sender.deliver(&Event::order(json).signed()).outcome(), "delivered", "{json}");
        let seen = erp.saw(index + 1).pop().unwrap();
        assert_eq!(seen.header("Hookward-Event-Id"), header);
        assert_eq!(seen.header("Idempotency-Key"), format!("\"shop:{header}\""));
        assert_eq!(seen.all("X-Forged"), [""; 0]);
    }
}

#[test]
fn the_path_comes_from_the_route_else_the_url_else_the_sender() {
    let [plain, based] = [Upstream::start(), Upstream::start()];
    let proxy = Setup::new()
        .upstream("plain", &plain, "")
        .table(&format!("[upstreams.based]\nurl = \"{}/hooks/in\"", based.url()))
        .table(
            "[sources.shop]\npath = \"/webhooks/shop\"\npreset = \"opentiendas\"\nsecrets = [{ env = \"SHOP_SECRET\" }]",
        )
        .environment("SHOP_SECRET", "a-secret-of-the-shop-for-tests")
        .table("[[sources.shop.routes]]\nevents = [\"a\"]\nto = [\"plain\", \"based\"]")
        .table(
            "[[sources.shop.routes]]\nevents = [\"b\"]\nto = [\"plain\", \"based\"]\npath = \"/of/route\"",
        )
        .start();
    let sender = Sender::to(&proxy);
    for (kind, plain_target, based_target) in [
        ("a", "/webhooks/shop?x=1&y=%20", "/hooks/in?x=1&y=%20"),
        ("b", "/of/route?x=1&y=%20", "/of/route?x=1&y=%20"),
    ] {
        let mut delivery = Event::new(&format!("evt-{kind}"), kind).signed();
        delivery.target = "/webhooks/shop?x=1&y=%20".to_owned();
        assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
        assert_eq!(plain.seen().pop().unwrap().target, plain_target);
        assert_eq!(based.seen().pop().unwrap().target, based_target);
    }
}

#[test]
fn upstream_connections_are_kept_and_a_stale_one_is_replaced_unseen() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("threads = 1").start();
    let sender = Sender::to(&proxy);
    for id in ["one", "two", "three"] {
        assert_eq!(sender.deliver(&Event::order(id).signed()).outcome(), "delivered");
    }
    assert_eq!(erp.connections(), 1, "kept connections are used again");
    erp.next(Reply::ThenClose(Box::new(Reply::Status(200))));
    for id in ["four", "five", "six"] {
        assert_eq!(sender.deliver(&Event::order(id).signed()).outcome(), "delivered", "{id}");
    }
    erp.saw(6);
}

#[test]
fn expect_100_continue_is_answered_and_not_passed_on() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let delivery = Event::order("evt-1").signed().with("Expect", "100-continue");
    let framing = format!("Content-Length: {}\r\n", delivery.body.len());
    let mut connection = crate::support::Connection::open(proxy.address);
    connection.send(delivery.head(proxy.address, &framing));
    assert_eq!(connection.informational(), 100);
    assert_eq!(connection.send(&delivery.body).response().outcome(), "delivered");
    assert_eq!(erp.saw(1)[0].all("Expect"), [""; 0]);
}

fn keepalive(proxy: &Proxy, deliveries: &[Delivery]) -> Vec<String> {
    let mut connection = crate::support::Connection::open(proxy.address);
    deliveries
        .iter()
        .map(|delivery| {
            connection.send(delivery.bytes(proxy.address)).response().outcome().to_owned()
        })
        .collect()
}

#[test]
fn one_connection_carries_many_deliveries_refused_ones_included() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = |id: &str| Event::order(id).signed();
    let bad = good("bad").replacing("X-Signature", &format!("sha256={}", "0".repeat(64)));
    let outcomes = keepalive(&proxy, &[good("a"), bad, good("b"), good("a")]);
    assert_eq!(outcomes, ["delivered", "rejected", "delivered", "duplicate"]);
    erp.saw(2);
}

/// Two threads once closed good connections between them, and 1,200 deliveries opened 33 to 86.
#[test]
fn senders_that_connect_anew_share_the_connections_to_the_upstream() {
    const SENDERS: usize = 4;
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("threads = 2").start();
    let sender = Sender::to(&proxy);
    std::thread::scope(|scope| {
        for number in 0..SENDERS {
            scope.spawn(move || {
                for event in 0..300 {
                    let delivery = Event::order(&format!("evt-{number}-{event}")).signed();
                    assert_eq!(sender.deliver(&delivery).outcome(), "delivered");
                }
            });
        }
    });
    erp.saw(SENDERS * 300);
    assert!(erp.connections() <= SENDERS, "{} connections", erp.connections());
}

/// How the idle connections of a server ended.
#[derive(Default)]
struct Endings {
    by_peer: AtomicUsize,
    by_server: AtomicUsize,
}

/// Reads one request with a body and answers it; `false` at the end of the stream.
fn serve_one(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(false);
        }
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        if body.len() >= length.unwrap().trim().parse().unwrap() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
    }
}

/// A server that closes a connection that was idle for so long, as Node, uvicorn and Apache do
/// after 5 s.
fn closing_idle_connections(after: Duration) -> (String, Arc<Endings>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endings = Arc::new(Endings::default());
    let counted = Arc::clone(&endings);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let endings = Arc::clone(&counted);
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(after)).unwrap();
                let ending = loop {
                    match serve_one(&mut stream) {
                        Ok(true) => {}
                        Ok(false) => break &endings.by_peer,
                        Err(_) => break &endings.by_server,
                    }
                };
                ending.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (url, endings)
}

#[test]
fn an_upstream_that_closes_idle_connections_never_closes_one_that_an_event_may_use() {
    let (url, endings) = closing_idle_connections(Duration::from_secs(5));
    let proxy = Setup::new()
        .table(&format!("[upstreams.erp]\nurl = \"{url}\"\nkeep_alive = \"100ms\""))
        .shop_to(&["erp"], "")
        .start();
    for number in 1..=3 {
        let delivery = Event::order(&format!("evt-{number}")).signed();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
        eventually("it is closed", || endings.by_peer.load(Ordering::SeqCst) == number);
    }
    assert_eq!(endings.by_server.load(Ordering::SeqCst), 0);
}
