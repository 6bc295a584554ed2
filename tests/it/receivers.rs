//! What the applications of real receivers read, which have their own rules for header names.

use crate::support::{Delivery, Kind, Proxy, Receiver, Response, Sender, Setup, unix_now};
use hmac::{Hmac, KeyInit as _, Mac as _};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A source of preset `standard-webhooks`, whose id and time are signed headers.
fn start(receiver: &Receiver, keys: &str) -> Proxy {
    Setup::new()
        .table(&format!("[upstreams.app]\nurl = \"{}\"", receiver.url()))
        .table(&format!(
            "[sources.std]\npath = \"/std\"\npreset = \"standard-webhooks\"\n\
             secrets = [{{ env = \"STD_SECRET\" }}]\n{keys}\n\
             [[sources.std.routes]]\nevents = [\"*\"]\nto = [\"app\"]"
        ))
        .environment("STD_SECRET", SECRET)
        .start()
}

fn signed(id: &str) -> Delivery {
    let body = r#"{"type":"order.paid"}"#;
    let at = unix_now().to_string();
    let key = data_encoding::BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key.unwrap()).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let signature = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
    Delivery::post("/std", body)
        .with("webhook-id", id)
        .with("webhook-timestamp", &at)
        .with("webhook-signature", &format!("v1,{signature}"))
}

/// What the application was given under a name, as it calls it.
fn read<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    lines.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[track_caller]
fn delivered(response: &Response, what: &str) -> String {
    assert_eq!(response.verdict(), (200, "delivered", String::new()), "{what}: {response:?}");
    response.text()
}

/// The spellings that some receiver reads as `webhook-id`, before and behind the genuine line.
#[test]
fn receivers_read_the_id_that_was_verified() {
    for kind in Kind::ALL {
        let receiver = Receiver::start(kind);
        let proxy = start(&receiver, "");
        let sender = Sender::to(&proxy);
        for sign in "!#$%&'*+.^_`|~".chars() {
            let n = u32::from(sign);
            let evil = |name: &str| (name.replace('-', &sign.to_string()), "evil".to_owned());
            let mut delivery = signed(&format!("msg-{n}"));
            delivery.headers.insert(0, evil("webhook-id"));
            delivery.headers.push(evil("Webhook-Id"));
            for name in ["webhook-timestamp", "hookward-event-id", "hookward-source"] {
                delivery.headers.push(evil(name));
            }
            for name in ["idempotency-key", "x-forwarded-for", "x-forwarded-proto"] {
                delivery.headers.push(evil(name));
            }
            let what = format!("{kind:?} {sign}");
            let text = delivered(&sender.deliver(&delivery), &what);
            assert_eq!(read(&text, "HTTP_WEBHOOK_ID"), Some(&*format!("msg-{n}")), "{what}");
            assert_eq!(read(&text, "HTTP_HOOKWARD_SOURCE"), Some("std"), "{what}");
            let key = format!("\"std:msg-{n}\"");
            assert_eq!(read(&text, "HTTP_IDEMPOTENCY_KEY"), Some(&*key), "{what}");
            assert_eq!(read(&text, "HTTP_X_FORWARDED_FOR"), Some("127.0.0.1"), "{what}");
            assert!(!text.contains("evil"), "{what}: {text}");
        }
        let mut twice = signed("msg-twice");
        twice.headers.push(("Webhook-Id".to_owned(), "msg-twice".to_owned()));
        let text = delivered(&sender.deliver(&twice), "twice");
        assert_eq!(read(&text, "HTTP_WEBHOOK_ID"), Some("msg-twice"), "{kind:?}");

        let robbed = signed("msg-robbed").with("Connection", "keep-alive, Webhook-Id");
        assert_eq!(sender.deliver(&robbed).verdict(), (400, "rejected", "bad_request".to_owned()));
    }
}

#[test]
fn receivers_take_no_orders_from_strangers() {
    let orders = [
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X_Method_Override", "DELETE"),
        ("X-Original-URL", "/evil"),
        ("X-Rewrite-URL", "/evil"),
        ("SCRIPT_NAME", "/evil"),
        ("Script-Name", "/st"),
        ("Proxy", "http://evil"),
        ("X-Real-IP", "evil"),
        ("Transfer_Encoding", "evil"),
        ("Content_Length", "999"),
        ("Content_Type", "evil"),
        ("Content_Encoding", "evil"),
    ];
    for kind in Kind::ALL {
        let receiver = Receiver::start(kind);
        let proxy = start(&receiver, "pass_headers = [\"X-Original-URI\"]");
        let ordered = orders
            .iter()
            .fold(signed("msg-1"), |delivery, (name, value)| delivery.with(name, value));
        let ordered = ordered.with("X-Original-URI", "/passed");
        let text = delivered(&Sender::to(&proxy).deliver(&ordered), &format!("{kind:?}"));
        for (name, value) in orders {
            let variable = format!("HTTP_{}", name.to_uppercase().replace(['-', '_'], "_"));
            assert_ne!(read(&text, &variable), Some(value), "{kind:?} {name}: {text}");
        }
        assert!(!text.contains("evil"), "{kind:?}: {text}");
        assert_eq!(read(&text, "REQUEST_METHOD"), Some("POST"), "{kind:?}");
        assert_eq!(read(&text, "HTTP_X_ORIGINAL_URI"), Some("/passed"), "{kind:?}");
        if matches!(kind, Kind::Gunicorn | Kind::Wsgiref | Kind::Puma | Kind::Node) {
            assert_eq!(read(&text, "PATH_INFO"), Some("/std"), "{kind:?}");
        }
    }
}

/// What one of them refuses would be refused as often as it is retried: the sender is told at the
/// door. Everything else arrives.
#[test]
fn a_target_that_passes_the_door_is_taken_by_receivers() {
    for kind in [Kind::Php, Kind::Gunicorn, Kind::Puma, Kind::Node] {
        let receiver = Receiver::start(kind);
        let proxy = start(&receiver, "");
        let sender = Sender::to(&proxy);
        for byte in (0x21..=0x7e_u8).filter(|byte| !b"#\"<>".contains(byte)) {
            let delivery = signed(&format!("msg-{byte}"));
            let target = format!("/std?a={}20", char::from(byte));
            let response = sender.deliver(&Delivery { target, ..delivery });
            delivered(&response, &format!("{kind:?} {:?}", char::from(byte)));
        }
        for odd in ["\u{e9}", "\"", "<", ">"] {
            let target = format!("/std?a={odd}");
            let response = sender.deliver(&Delivery { target, ..signed("msg-odd") });
            assert_eq!(response.verdict(), (400, "rejected", "bad_request".to_owned()), "{odd}");
        }
    }
}
