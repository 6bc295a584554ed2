//! A program that embeds `hookward-verify`: it keeps the heads of requests as raw bytes, and verifies
//! them without building a map of headers.
//!
//! Its tests compile against the public API alone.

use hookward_verify::{Event, Fault, Headers, Request, Sender, SignatureCheck, UnixMillis};
use http::{HeaderName, Method};

/// The header lines of a request as they arrived, each ended by CR LF.
pub struct RawLines<'a>(pub &'a [u8]);

impl Headers for RawLines<'_> {
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        let lines = self.0.split(|byte| *byte == b'\n');
        let mut values = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (own, value) = line.split_at_checked(colon)?;
            let is_it = own.eq_ignore_ascii_case(name.as_str().as_bytes());
            is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
        });
        values.nth(index)
    }
}

/// Verifies a `POST` whose body arrives in chunks, and reads its event.
///
/// # Errors
/// What is wrong with the request.
pub fn receive(
    sender: &Sender,
    target: &str,
    lines: &[u8],
    chunks: &[&[u8]],
    now: UnixMillis,
) -> Result<Event, Fault> {
    let headers = RawLines(lines);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = Request { method: &Method::POST, path, query, headers: &headers };
    let mut check = SignatureCheck::begin(sender, request)?;
    let mut body = Vec::new();
    for chunk in chunks {
        check.update(chunk);
        body.extend_from_slice(chunk);
    }
    let genuine = check.finish(&body)?;
    let event = Event::read(sender, request, &body, &genuine)?;
    sender.check_freshness(event.sent, now)?;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_verify::handshake::{answer_body, answer_head};
    use hookward_verify::sign::{SignRequest, SigningKey, sign};
    use hookward_verify::{FaultKind, Scheme, verify};
    use std::time::Duration;

    /// 2026-03-16T10:20:30Z.
    const NOW: UnixMillis = UnixMillis(1_773_656_430_000);
    const BODY: &[u8] = br#"{"id":"evt_7","type":"order.paid","created":"2026-03-16T10:20:29Z"}"#;

    /// What the sender would send at [`NOW`], as raw lines.
    fn lines(sender: &Sender, body: &[u8]) -> Vec<u8> {
        let request = SignRequest {
            id: Some("evt_7"),
            event_type: Some("order.paid"),
            path: "/hook",
            at: NOW,
            query: None,
            body,
        };
        let key = SigningKey::Shared(sender.secrets.first().expect("a secret"));
        let signed = sign(sender, &key, &request).expect("signed");
        let lines = signed.headers.iter().map(|(name, value)| format!("{name}:  {value} \r\n"));
        lines.collect::<Vec<_>>().concat().into_bytes()
    }

    #[test]
    fn a_delivery_is_verified_from_raw_bytes_in_chunks() {
        for (preset, secret) in [
            ("github", "It's a Secret to Everybody"),
            ("stripe", "whsec_0123456789abcdef"),
            ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ] {
            let sender = Sender::preset(preset, [secret]).expect(preset);
            let lines = lines(&sender, BODY);
            let chunks: Vec<&[u8]> = BODY.chunks(10).collect();
            let event = receive(&sender, "/hook?a=b", &lines, &chunks, NOW).expect(preset);
            assert_eq!((event.id.as_str(), &*event.kind), ("evt_7", "order.paid"), "{preset}");
            let refused = receive(&sender, "/hook", &lines, &chunks[1..], NOW).expect_err(preset);
            assert_eq!(refused.kind(), FaultKind::SignatureMismatch, "{preset}");
        }
    }

    #[test]
    fn an_old_delivery_is_told_from_a_fresh_one() {
        let sender = Sender::preset("stripe", ["whsec_0123456789abcdef"]).expect("a preset");
        let lines = lines(&sender, BODY);
        let later = NOW.plus(Duration::from_secs(301));
        let refused = receive(&sender, "/hook", &lines, &[BODY], later).expect_err("too old");
        assert_eq!(refused.kind(), FaultKind::TimestampTooOld);
    }

    #[test]
    fn a_scheme_of_ones_own_is_read_from_toml() {
        let scheme = Scheme::from_toml(
            r#"
            [signature]
            header = "X-Shop-Signature"
            prefix = "sha256="
            signed = "{method}:{path}:{body}"
            [event]
            id = ["json:/id"]
            type = ["json:/type"]
            time = ["json:/created"]
            "#,
        )
        .expect("a scheme");
        let sender = Sender::new(scheme, ["newer-secret-of-two", "older-secret-of-two"]);
        let sender = sender.expect("keys");
        let lines = lines(&sender, BODY);
        let event = receive(&sender, "/hook", &lines, &[BODY], NOW).expect("genuine");
        assert_eq!(event.time, Some(UnixMillis(NOW.0 - 1000)));
        assert!(receive(&sender, "/other", &lines, &[BODY], NOW).is_err(), "the path is signed");
    }

    #[test]
    fn a_request_of_the_http_crate_is_verified_whole() {
        let sender = Sender::preset("github", ["It's a Secret to Everybody"]).expect("a preset");
        let request = http::Request::post("/github").header(
            "X-Hub-Signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        );
        let request = request.body("Hello, World!").expect("a request");
        let genuine = verify(&sender, Request::of(&request), request.body().as_bytes());
        assert_eq!(genuine.expect("genuine").secret(), 0);
    }

    #[test]
    fn handshakes_are_answered() {
        let meta = Sender::preset("meta", ["an-app-secret-of-meta"]).expect("a preset");
        let meta = meta.with_verify_token("our-verify-token");
        let request = Request {
            method: &Method::GET,
            path: "/meta",
            query: Some("hub.mode=subscribe&hub.challenge=42&hub.verify_token=our-verify-token"),
            headers: &RawLines(b""),
        };
        let reply = answer_head(&meta, request).expect("a handshake").expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"42"[..]));

        let slack = Sender::preset("slack", ["a-signing-secret-of-slack"]).expect("a preset");
        let question = br#"{"type":"url_verification","challenge":"abc"}"#;
        let lines = lines(&slack, question);
        let headers = RawLines(&lines);
        let request =
            Request { method: &Method::POST, path: "/hook", query: None, headers: &headers };
        let verified = verify(&slack, request, question);
        let verified = verified.as_ref().map(|_| ());
        let reply = answer_body(&slack, request, question, verified).expect("a handshake");
        assert_eq!(reply.expect("an answer").body, b"abc");
    }
}
