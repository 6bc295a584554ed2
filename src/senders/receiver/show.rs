//! A request as a block of text for a terminal.
//!
//! Strangers wrote the content, so nothing that could control a terminal gets through. Credentials
//! are shortened, because terminals are watched, recorded and copied from. Signatures are shown,
//! because each is valid only for its own body and users need to see it.

use super::{Received, ReceiverReply};
use std::fmt::Write as _;

/// How much of a body is shown, in bytes.
const SHOWN_BODY_BYTES: usize = 2048;

/// One block: time, method and target, the headers that Hookward adds, the body, the answer.
/// All headers are shown where Hookward added none, as when a sender delivers directly.
#[must_use]
pub fn block(request: &Received, reply: ReceiverReply) -> String {
    let mut text = format!(
        "{}  {} {}  {} bytes\n",
        request.at.to_rfc3339(),
        printable(&request.method),
        printable(&without_credentials(&request.target)),
        request.body.len(),
    );
    let all = request.header("Hookward-Source").is_none();
    for (name, value) in &request.headers {
        if all || is_ours(name) {
            let value = String::from_utf8_lossy(value);
            let value = if is_credential(name) { shortened(&value) } else { value.into_owned() };
            _ = writeln!(text, "  {}: {}", printable(name), printable(&value));
        }
    }
    for line in body_text(&request.body).lines() {
        _ = writeln!(text, "  | {}", printable(line));
    }
    _ = writeln!(text, "  -> {}", reply.status.as_u16());
    text
}

fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("hookward-") || name == "idempotency-key"
}

/// Whether a header or parameter of this name holds what lets its owner in.
fn is_credential(name: &str) -> bool {
    const WORDS: [&str; 8] =
        ["authorization", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey"];
    let name = name.to_ascii_lowercase().replace('_', "-");
    WORDS.iter().any(|word| name.contains(word))
}

/// How a long credential begins, which tells it from another, and how long it is. A word before it,
/// as `Bearer`, is not part of it.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 4;
    const LONG: usize = 24;
    let (scheme, credential) = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphabetic()) => (scheme, rest),
        _ => ("", value),
    };
    let length = credential.chars().count();
    let shown: String = credential.chars().take(if length < LONG { 0 } else { SHOWN }).collect();
    let gap = if scheme.is_empty() { "" } else { " " };
    format!("{scheme}{gap}{shown}… ({length} characters)")
}

/// A target whose query shows no credential.
fn without_credentials(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if is_credential(name) => format!("{name}={}", shortened(value)),
        _ => parameter.to_owned(),
    });
    format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// The same text with every character escaped that a terminal would act on or hide.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || reorders_or_hides(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Marks of direction and of zero width, with which a text can look like another one.
fn reorders_or_hides(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// The beginning of a body: indented if it is JSON, as it is if it is text, in hex if
/// neither.
fn body_text(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let readable = |text: &&str| !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    let Some(text) = std::str::from_utf8(body).ok().filter(readable) else {
        let shown = body.get(..64).unwrap_or(body);
        return cut(data_encoding::HEXLOWER.encode(shown), body.len() > shown.len());
    };
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let shown = text.floor_char_boundary(SHOWN_BODY_BYTES);
    let (start, rest) = text.split_at(shown);
    cut(if is_json { indented(start) } else { start.to_owned() }, !rest.is_empty())
}

fn cut(mut text: String, is_cut: bool) -> String {
    if is_cut {
        text.push_str(" [...]");
    }
    text
}

/// JSON with a line for each member, in its own order; may end anywhere.
fn indented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '{' | '[' => {
                text.push(character);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if characters.peek().is_some_and(|next| *next != '}' && *next != ']') {
                    depth += 1;
                    line(&mut text, depth);
                } else {
                    text.extend(characters.next());
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(character);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            '"' => {
                in_string = true;
                text.push(character);
            }
            white if white.is_ascii_whitespace() => {}
            other => text.push(other),
        }
    }
    text
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hookward_time::UnixMillis;
    use http::StatusCode;
    use std::time::Duration;

    const OK: ReceiverReply = ReceiverReply { status: StatusCode::OK, delay: Duration::ZERO };

    fn request(headers: &[(&str, &str)], body: &'static [u8]) -> Received {
        Received {
            at: UnixMillis::from_seconds(1_773_656_430),
            method: "POST".to_owned(),
            target: "/hooks?a=1".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn a_forwarded_event_shows_what_hookward_added_and_nothing_else() {
        let headers = [
            ("Hookward-Source", "shop"),
            ("Hookward-Event-Id", "e-1"),
            ("Idempotency-Key", "\"shop:e-1\""),
            ("X-Signature", "sha256=00"),
        ];
        let shown = block(&request(&headers, br#"{"type":"order.created","lines":[1,{}]}"#), OK);
        assert_eq!(
            shown,
            "2026-03-16T10:20:30.000Z  POST /hooks?a=1  39 bytes\n  \
               Hookward-Source: shop\n  \
               Hookward-Event-Id: e-1\n  \
               Idempotency-Key: \"shop:e-1\"\n  \
               | {\n  \
               |   \"type\": \"order.created\",\n  \
               |   \"lines\": [\n  \
               |     1,\n  \
               |     {}\n  \
               |   ]\n  \
               | }\n  \
               -> 200\n"
        );
    }

    #[test]
    fn a_direct_delivery_shows_all_headers() {
        let shown = block(&request(&[("X-Signature", "sha256=00")], b""), OK);
        assert!(shown.contains("  X-Signature: sha256=00\n"), "{shown}");
    }

    #[test]
    fn credentials_are_shortened_and_signatures_are_shown() {
        let headers = [
            ("Authorization", "Bearer sk_live_0123456789abcdefghij"),
            ("authorization", "Basic dTpw"),
            ("Proxy-Authorization", "hunter2"),
            ("Cookie", "session=0123456789abcdefghij"),
            ("X-Gitlab-Token", "hunter2-hunter2"),
            ("X-Api-Key", "hunter2"),
            ("X-Signature", "t=1,v1=0123456789abcdef0123456789abcdef"),
            ("X-Hub-Signature-256", "sha256=0123456789abcdef0123456789abcdef"),
        ];
        let mut request = request(&headers, b"");
        request.target = "/hooks?a=1&access_token=hunter2&b=2".to_owned();
        let shown = block(&request, OK);
        assert_eq!(
            shown,
            "2026-03-16T10:20:30.000Z  POST /hooks?a=1&access_token=… (7 characters)&b=2  0 bytes\n  \
               Authorization: Bearer sk_l… (28 characters)\n  \
               authorization: Basic … (4 characters)\n  \
               Proxy-Authorization: … (7 characters)\n  \
               Cookie: sess… (28 characters)\n  \
               X-Gitlab-Token: … (15 characters)\n  \
               X-Api-Key: … (7 characters)\n  \
               X-Signature: t=1,v1=0123456789abcdef0123456789abcdef\n  \
               X-Hub-Signature-256: sha256=0123456789abcdef0123456789abcdef\n  \
               -> 200\n"
        );
    }

    #[test]
    fn nothing_in_a_request_can_steer_the_terminal() {
        let hostile = "\u{1b}[2J\u{202e}\u{200b}\rx";
        let mut request = request(&[("X-A", hostile)], "\u{202e}owned\rtwo".as_bytes());
        request.target = hostile.to_owned();
        let shown = block(&request, OK);
        let bad = shown.chars().find(|c| (c.is_control() && *c != '\n') || reorders_or_hides(*c));
        assert_eq!(bad, None, "{shown}");
        assert!(shown.contains("| \\u{202e}owned\\u{d}two\n"), "{shown}");
    }

    #[test]
    fn a_body_is_cut_on_a_character_and_binary_is_shown_in_hex() {
        let long = "é".repeat(SHOWN_BODY_BYTES);
        assert!(body_text(long.as_bytes()).ends_with("é [...]"));
        assert_eq!(body_text(&[0xff, 0x00]), "ff00");
    }

    #[test]
    fn strings_keep_their_brackets_and_escapes() {
        assert_eq!(indented(r#"{"a":"{,\"]\\"}"#), "{\n  \"a\": \"{,\\\"]\\\\\"\n}");
    }
}
