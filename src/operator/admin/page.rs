//! The status page: a few files in the binary that use the other paths of this listener.
//!
//! The files contain no data of this process, so they need no token. Their policy allows them to
//! load from and connect to this listener only, forbids inline scripts, and forbids framing.

use super::reply::text;
use crate::edge::HttpReply;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const SCRIPT: &str = concat!(
    include_str!("page/reasons.js"),
    include_str!("page/chart.js"),
    include_str!("page/page.js")
);

/// The file of this path.
pub(super) fn file(path: &str) -> Option<HttpReply> {
    let (content_type, content) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/page.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/page.svg" => ("image/svg+xml", include_str!("page/page.svg")),
        _ => return None,
    };
    let mut reply = text(200, content_type, content);
    reply.headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    reply.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply.headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;

    #[test]
    fn every_reason_has_its_sentence_on_the_page() {
        let explained: Vec<&str> = include_str!("page/reasons.js")
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": [\""))
            .map(|(reason, _)| reason)
            .collect();
        for reason in Reason::ALL {
            assert!(explained.contains(&reason.label()), "{} has no sentence", reason.label());
        }
    }

    #[test]
    fn nothing_that_somebody_else_wrote_is_read_as_markup_or_stored() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "localStorage",
            "sessionStorage",
            "document.cookie",
            "alert(",
        ];
        for word in forbidden {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        let html = include_str!("page/page.html");
        for word in ["style=", " on", "http://", "https://"] {
            let in_tags = html.split('<').skip(1).filter_map(|tag| tag.split('>').next());
            assert!(!in_tags.clone().any(|tag| tag.contains(word)), "{word}");
        }
    }
}
