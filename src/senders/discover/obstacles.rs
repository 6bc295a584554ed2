//! Why nothing may have been found: problems with the capture.

use super::published::carries_one;
use super::{MemberNames, candidates, carried_with, discover};
use crate::request::RequestHead;
use hookward_secret::Secret;
use http::header;

/// What to look at where [`discover`] finds nothing, in sentences, the surest first.
#[must_use]
pub fn obstacles(head: &RequestHead, body: &[u8], secret: &Secret) -> Vec<String> {
    let names = MemberNames::of_secret("sender", "SECRET");
    let fits = |body: &[u8], secret: &Secret| discover(head, body, secret, names).is_some();
    let of_body = other_bodies(body).into_iter().find(|(_, other)| fits(other, secret));
    if let Some((what, _)) = of_body {
        return vec![format!(
            "the signature fits if {what}: capture the exact bytes of the body, then run this again"
        )];
    }
    let of_secret = other_secrets(secret).into_iter().find(|(_, other)| fits(body, other));
    if let Some((what, _)) = of_secret {
        return vec![format!("the signature fits if {what}")];
    }

    let mut found = Vec::new();
    if carries_one(head, body)
        && let Err(why) = carried_with(head, body, secret, names)
    {
        found.extend(why);
    }
    let declared = head.headers.text(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.parse::<usize>().ok());
    if let Some(declared) = declared.filter(|declared| *declared != body.len()) {
        found.push(format!(
            "Content-Length is {declared}, but the body has {} bytes: it is not the body that was \
             signed",
            body.len()
        ));
    }
    if head.headers.contains(header::CONTENT_ENCODING) {
        found.push("the body was encoded in transit: these are not the signed bytes".to_owned());
    }
    if candidates::signatures(head, body).is_empty() {
        found.push(
            "no header and no member of the body looks like a signature: is the capture complete?"
                .to_owned(),
        );
    }
    if head.host.is_empty() {
        found.push(
            "without request line and Host, texts that contain the URL could not be tried"
                .to_owned(),
        );
    }
    found
}

/// What editors, shells and copying make of a body, undone.
fn other_bodies(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut others = Vec::new();
    if let Some(plain) = body.strip_prefix(b"\xef\xbb\xbf") {
        others.push(("the byte order mark before the body is removed", plain.to_vec()));
    }
    let cut = body.strip_suffix(b"\n").map(|cut| cut.strip_suffix(b"\r").unwrap_or(cut));
    if let Some(cut) = cut {
        others.push(("the line end after the body is removed", cut.to_vec()));
    }
    others.push(("a line feed is added to the body", [body, b"\n"].concat()));
    if body.windows(2).any(|pair| pair == b"\r\n") {
        let mut lines = body.to_vec();
        // A CR is dropped where an LF follows.
        let follows: Vec<bool> =
            body.iter().skip(1).map(|byte| *byte == b'\n').chain([false]).collect();
        let mut follows = follows.into_iter();
        lines.retain(|byte| !(follows.next().unwrap_or(false) && *byte == b'\r'));
        others.push(("its line ends are LF instead of CR LF", lines));
    }
    others
}

/// What happens to a secret on its way into a variable, undone.
fn other_secrets(secret: &Secret) -> Vec<(&'static str, Secret)> {
    let text = secret.expose();
    let bare = text.trim_ascii();
    let mut others = Vec::new();
    if bare.len() < text.len() {
        let what = "the spaces and line ends around the secret are removed";
        others.push((what, Secret::new(bare.to_vec())));
    }
    let inner = |quote: &[u8]| bare.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = inner(b"\"").or_else(|| inner(b"'")) {
        others.push(("the quotes around the secret are removed", Secret::new(inner.to_vec())));
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::fixture::{signed_by, source};

    #[test]
    fn what_stands_in_the_way_is_named() {
        let text = |text: &str| Secret::from(text.to_owned());
        let secret = text("topsecret");
        for (sent, arrived, given, named) in [
            ("{}", "{}\n", "topsecret", "the line end after the body is removed"),
            ("{}", "{}\r\n", "topsecret", "the line end after the body is removed"),
            ("{}\n", "{}", "topsecret", "a line feed is added to the body"),
            ("{\n}", "{\r\n}", "topsecret", "LF instead of CR LF"),
            ("{}", "\u{feff}{}", "topsecret", "byte order mark"),
            ("{}", "{}", " topsecret\n", "spaces and line ends around the secret"),
            ("{}", "{}", "\"topsecret\"", "quotes around the secret"),
            ("{}", "[]", "topsecret", ""),
        ] {
            let (head, _) = signed_by(&source("X-Sig"), sent.as_bytes());
            let told = obstacles(&head, arrived.as_bytes(), &text(given)).join("\n");
            assert!(told.contains(named) && told.is_empty() == named.is_empty(), "{told}");
            assert!(!told.contains("topsecret"), "{told}");
        }

        let (mut head, _) = signed_by(&source("X-Sig"), b"{}");
        head.headers.remove("x-sig");
        head.headers.set(&header::CONTENT_LENGTH, &7.into());
        head.headers.set(&header::CONTENT_ENCODING, &http::HeaderValue::from_static("br"));
        head.host.clear();
        let told = obstacles(&head, b"{}", &secret).join("\n");
        for part in ["Content-Length is 7", "encoded", "looks like a signature", "URL"] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}
