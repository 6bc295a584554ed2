//! Guesses of a body before something in transit rewrote it.
//!
//! Frameworks re-serialise JSON, editors and shells add or remove line ends, gateways decode and
//! encode. Each guess is a body that the sender may have signed, with a description of the change;
//! the caller tries which one the signature fits.

use super::restyled::{JsonNode, JsonStyle};
use data_encoding::BASE64;
use std::fmt::Write as _;

/// A body that the sender may have signed.
pub(super) struct Guess {
    /// The mistake's name.
    pub(super) name: &'static str,
    /// What happened, as a sentence.
    pub(super) text: String,
    /// The bytes before it happened.
    pub(super) body: Vec<u8>,
}

/// All guesses about `body`, the simplest first; none of them is `body` itself.
pub(super) fn guesses(body: &[u8]) -> impl Iterator<Item = Guess> {
    let simple = line_ends(body).into_iter().chain(encodings(body));
    simple.chain(json(body)).chain(fractions(body)).filter(move |guess| guess.body != body)
}

fn guess(name: &'static str, text: impl Into<String>, body: impl Into<Vec<u8>>) -> Guess {
    Guess { name, text: text.into(), body: body.into() }
}

fn line_ends(body: &[u8]) -> Vec<Guess> {
    const LOST: &str = "trailing newline lost";
    const ADDED: &str = "trailing newline added";
    const CHANGED: &str = "line ends changed";
    let mut guesses = vec![
        guess(LOST, "the sender signed a line feed at the end of the body, which is missing", {
            [body, b"\n"].concat()
        }),
        guess(LOST, "the sender signed CR LF at the end of the body, which is missing", {
            [body, b"\r\n"].concat()
        }),
    ];
    for end in [&b"\r\n"[..], b"\n"] {
        if let Some(before) = body.strip_suffix(end) {
            let text = "the body ends in a line end that the sender did not sign";
            guesses.push(guess(ADDED, text, before));
        }
    }
    let lf = replace(body, b"\r\n", b"\n");
    let crlf = replace(&lf, b"\n", b"\r\n");
    guesses.push(guess(CHANGED, "the sender signed LF, but the body has CR LF", lf));
    guesses.push(guess(CHANGED, "the sender signed CR LF, but the body has LF", crlf));
    guesses
}

fn encodings(body: &[u8]) -> Vec<Guess> {
    const NAME: &str = "body decoded and encoded again";
    let mut guesses = Vec::new();
    if let Some(without) = body.strip_prefix(b"\xef\xbb\xbf") {
        guesses.push(guess(NAME, "a byte order mark was added before the body", without));
    } else {
        guesses.push(guess(NAME, "a byte order mark was removed from the body", {
            [b"\xef\xbb\xbf", body].concat()
        }));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let latin: Option<Vec<u8>> =
            text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
        if let Some(latin) = latin {
            guesses.push(guess(
                NAME,
                "the body was read as Latin-1 and written as UTF-8, so that letters such as é \
                 became two",
                latin,
            ));
        }
    }
    let as_utf8: String = body.iter().map(|&byte| char::from(byte)).collect();
    guesses.push(guess(NAME, "the body was read as UTF-8 and written as Latin-1", as_utf8));
    if let Ok(decoded) = BASE64.decode(body.trim_ascii()) {
        guesses.push(guess(NAME, "the body is the base64 of the sent body", decoded));
    }
    guesses.push(guess(NAME, "the sent body is the base64 of this body", BASE64.encode(body)));
    guesses.extend(forms(body).into_iter().map(|form| {
        guess(NAME, "the form was decoded and its fields were encoded again differently", form)
    }));
    guesses
}

/// The ways in which senders write a form.
fn forms(body: &[u8]) -> Vec<Vec<u8>> {
    if !body.contains(&b'=') || body.iter().any(|byte| matches!(byte, b'{' | b'[' | b'<')) {
        return Vec::new();
    }
    let mut usual = form_urlencoded::Serializer::new(String::new());
    usual.extend_pairs(form_urlencoded::parse(body));
    let usual = usual.finish();
    let spaces = usual.replace('+', "%20");
    let rfc = spaces.replace("%7E", "~").replace('*', "%2A");
    let lower = |text: &str| {
        let mut pieces = text.split('%');
        let mut lower = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
            let _ = write!(lower, "%{}{rest}", digits.to_ascii_lowercase());
        }
        lower
    };
    let all = [lower(&usual), lower(&spaces), lower(&rfc), usual, spaces, rfc];
    all.into_iter().map(String::into_bytes).collect()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    out
}

/// Whole numbers of a body that are tried with a fraction; each doubles the number of guesses.
const MOST_WHOLE_NUMBERS: usize = 10;

/// The body with `.0` behind some of its whole numbers, which JavaScript, PHP and Go leave out when they
/// write JSON again.
fn fractions(body: &[u8]) -> Vec<Guess> {
    let ends = whole_numbers(body);
    if ends.is_empty() || ends.len() > MOST_WHOLE_NUMBERS || JsonNode::read(body).is_none() {
        return Vec::new();
    }
    let text = "the JSON was parsed and re-serialised in transit; the sender signed some of its \
                whole numbers with `.0`";
    let chosen = 1..1_usize << ends.len();
    let bodies = chosen.map(|chosen| {
        let mut before = Vec::with_capacity(body.len() + 2 * ends.len());
        let mut from = 0;
        for (bit, &end) in ends.iter().enumerate() {
            before.extend_from_slice(body.get(from..end).unwrap_or_default());
            if chosen >> bit & 1 == 1 {
                before.extend_from_slice(b".0");
            }
            from = end;
        }
        before.extend_from_slice(body.get(from..).unwrap_or_default());
        before
    });
    bodies.map(|before| guess("JSON written again", text, before)).collect()
}

/// Where the whole numbers of a JSON text end.
fn whole_numbers(body: &[u8]) -> Vec<usize> {
    let (mut ends, mut in_text, mut is_escaped, mut number) = (Vec::new(), false, false, None);
    for (at, &byte) in body.iter().chain(b" ").enumerate() {
        if in_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match (byte, number) {
            (b'0'..=b'9', None) => number = Some(true),
            (b'.' | b'e' | b'E', Some(_)) => number = Some(false),
            (b'0'..=b'9' | b'+' | b'-', Some(_)) | (_, None) => {}
            (_, Some(is_whole)) => {
                ends.extend(is_whole.then_some(at));
                number = None;
            }
        }
        in_text = byte == b'"';
    }
    ends
}

/// The body as other JSON writers would write it.
fn json(body: &[u8]) -> impl Iterator<Item = Guess> {
    let node = JsonNode::read(body);
    let styles = node.is_some().then(JsonStyle::all).into_iter().flatten();
    let node = node.unwrap_or(JsonNode::Raw(""));
    styles.flat_map(move |style| {
        let mut text = String::new();
        style.write(&node, 0, &mut text);
        let say = |end: &str| {
            format!(
                "the JSON was parsed and re-serialised in transit; the sender signed it \
                 {style}{end}"
            )
        };
        let name = "JSON written again";
        let with_end = guess(name, say(", with a line feed at its end"), format!("{text}\n"));
        [guess(name, say(""), text), with_end]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_guessed(now: &str, before: &str) -> Option<&'static str> {
        guesses(now.as_bytes()).find(|guess| guess.body == before.as_bytes()).map(|g| g.name)
    }

    #[test]
    fn what_other_writers_write_is_guessed() {
        let now = r#"{"b":"é/<x>","a":[1.10,{}],"c":[]}"#;
        for before in [
            r#"{"b": "é/<x>", "a": [1.10, {}], "c": []}"#,
            r#"{"a":[1.10,{}],"b":"é/<x>","c":[]}"#,
            r#"{"b":"\u00e9/<x>","a":[1.10,{}],"c":[]}"#,
            r#"{"b":"\u00E9/<x>","a":[1.10,{}],"c":[]}"#,
            r#"{"b":"\u00e9\/<x>","a":[1.10,{}],"c":[]}"#,
            r#"{"b":"é/\u003cx\u003e","a":[1.10,{}],"c":[]}"#,
            r#"{"b":"é/<x>","a":[1.1,{}],"c":[]}"#,
            "{\n  \"b\": \"é/<x>\",\n  \"a\": [\n    1.10,\n    {}\n  ],\n  \"c\": []\n}",
            "{\n  \"b\": \"é/<x>\",\n  \"a\": [\n    1.10,\n    {}\n  ],\n  \"c\": []\n}\n",
        ] {
            assert_eq!(is_guessed(now, before), Some("JSON written again"), "{before}");
        }
    }

    #[test]
    fn line_ends_and_encodings_are_guessed() {
        for (now, before, name) in [
            ("{}", "{}\n", "trailing newline lost"),
            ("{}", "{}\r\n", "trailing newline lost"),
            ("{}\n", "{}", "trailing newline added"),
            ("a\r\nb", "a\nb", "line ends changed"),
            ("a\nb", "a\r\nb", "line ends changed"),
            ("\u{feff}{}", "{}", "body decoded and encoded again"),
            ("{}", "\u{feff}{}", "body decoded and encoded again"),
            ("cafÃ©", "café", "body decoded and encoded again"),
            ("e30=", "{}", "body decoded and encoded again"),
            ("a=b+c&d=%2F", "a=b%20c&d=%2f", "body decoded and encoded again"),
        ] {
            assert_eq!(is_guessed(now, before), Some(name), "{now:?} {before:?}");
        }
        assert!(guesses(b"{}").all(|guess| guess.body != b"{}"));
    }

    #[test]
    fn deep_bodies_are_left_alone() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(guesses(deep.as_bytes()).all(|guess| guess.name != "JSON written again"));
    }
}
