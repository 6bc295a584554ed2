//! Which of a sender's headers are passed on: the receiver reads what was verified.
//!
//! CGI, WSGI, PHP and Rack turn header names into variables, in which `-`, `_` and often any other
//! character are the same. For them `webhook_id` beside the signed `webhook-id` is the same header,
//! and either may win. So names are compared [folded](folded), and of equal ones only the checked
//! header is passed on.

use crate::field_lines::FieldLines;
use crate::outcome::{Reason, Refusal};
use crate::outgoing_lines::OutgoingLines;
use hookward_verify::request::folded;
use hookward_verify::scheme::Scheme;
use http::header::{self, HeaderName};

/// Headers that Hookward sets itself; the values of a trusted proxy are merged into them. Also
/// `Proxy`, which CGI programs read as `HTTP_PROXY` for their own requests (httpoxy).
fn is_never_passed(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "idempotency-key"
            | "traceparent"
            | "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-forwarded-host"
            | "proxy"
    )
}

/// Headers by which this proxy interprets a body, whatever the scheme.
const JUDGED_ALWAYS: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_ENCODING];

/// Headers that frameworks accept as instructions from a proxy in front of them. Hookward never
/// sets them, so they come from a stranger; a source may let them pass if its sender uses them.
const INSTRUCTIONS: [&str; 17] = [
    // Another method: Rack, Symfony, Laravel, Slim, Express, Iris, ASP.NET.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    // Another path or host: IIS, Zend, Symfony, ingress controllers, Envoy.
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-http-host-override",
    "x-host",
    // Variables of WSGI that gunicorn takes from a proxy on its own machine.
    "script-name",
    "x-script-name",
    "path-info",
    "remote-user",
    // `Rack::Sendfile`, and the middleware of Next.js, which it left out when told so.
    "x-sendfile-type",
    "x-accel-mapping",
    "x-middleware-subrequest",
];

/// Other headers about the sender that proxies set, besides `Forwarded` and `X-Forwarded-*`.
const SAID_BY_PROXIES: [&str; 10] = [
    "client-ip",
    "x-client-ip",
    "x-real-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-original-forwarded-for",
    "x-scheme",
    "front-end-https",
];

/// Whether a header goes on only if a source says so, with `pass_headers`.
#[must_use]
pub fn is_withheld(name: &HeaderName) -> bool {
    INSTRUCTIONS.contains(&name.as_str()) || SAID_BY_PROXIES.contains(&name.as_str())
}

/// The names of all headers that go on only if a source says so.
pub fn withheld() -> impl Iterator<Item = &'static str> {
    INSTRUCTIONS.into_iter().chain(SAID_BY_PROXIES)
}

/// Which headers of a request are passed on to the destinations of a source; computed once for each
/// source.
#[derive(Clone, Debug, Default)]
pub struct Passing {
    judged: Vec<JudgedNames>,
    passed: Vec<HeaderName>,
}

#[derive(Clone, Debug)]
struct JudgedNames {
    name: HeaderName,
    folded: String,
    /// Whether equal lines were judged as one.
    is_one: bool,
    /// Whether the scheme reads it.
    is_of_scheme: bool,
}

/// Other facts about the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// A trusted proxy speaks for the sender.
    pub(super) trusted: bool,
    /// The trace is the sender's.
    pub(super) traced: bool,
}

impl Passing {
    /// What passes for a sender that signs so. `passed` are withheld headers that go on all
    /// the same.
    #[must_use]
    pub fn of(scheme: &Scheme, passed: &[HeaderName]) -> Self {
        let signatures: Vec<&HeaderName> = scheme.signature_headers().collect();
        let of_scheme = scheme.headers();
        let judged = |name: &HeaderName, is_of_scheme| JudgedNames {
            folded: folded(name.as_str()).into_owned(),
            is_one: is_of_scheme && !signatures.contains(&name),
            is_of_scheme,
            name: name.clone(),
        };
        let mut all: Vec<JudgedNames> = of_scheme.iter().map(|name| judged(name, true)).collect();
        all.extend(
            JUDGED_ALWAYS
                .iter()
                .filter(|name| !of_scheme.contains(name))
                .map(|name| judged(name, false)),
        );
        Self { judged: all, passed: passed.to_vec() }
    }

    /// Refuses a `Connection` that names a header which the scheme reads: it asks for it to be taken
    /// away between the judgement and the receiver.
    ///
    /// # Errors
    /// [`Reason::BadRequest`].
    pub fn judge_connection(&self, headers: &FieldLines) -> Result<(), Refusal> {
        let lines = headers.get_all(header::CONNECTION);
        let mut options = lines.flat_map(|line| line.split(|byte| *byte == b','));
        let names_one = options.any(|option| {
            let option = String::from_utf8_lossy(option.trim_ascii()).to_ascii_lowercase();
            let option = folded(&option);
            self.judged.iter().any(|judged| judged.is_of_scheme && judged.folded == option)
        });
        if names_one {
            let why = "Connection names a header that the source's scheme reads";
            return Err(Refusal::because(Reason::BadRequest, why));
        }
        Ok(())
    }

    /// Whether a header goes on, its name in lower case and the same [folded](folded()).
    pub(super) fn takes(&self, name: &str, folded: &str, circumstances: Circumstances) -> bool {
        if folded.starts_with("hookward-") || is_never_passed(folded) {
            return false;
        }
        let mut alike = self.judged.iter().filter(|judged| judged.folded == folded).peekable();
        if alike.peek().is_some() {
            return alike.any(|judged| judged.name == *name);
        }
        if self.passed.iter().any(|passed| passed == name) {
            return true;
        }
        let is_itself = folded == name;
        if folded == "tracestate" {
            return circumstances.traced && is_itself;
        }
        if folded == "forwarded"
            || folded.starts_with("x-forwarded-")
            || SAID_BY_PROXIES.contains(&folded)
        {
            return circumstances.trusted && is_itself;
        }
        !INSTRUCTIONS.contains(&folded)
    }

    /// Makes one line of equal ones that were judged as one: `a` twice is `a` to us, and `a,a` to
    /// readers that join lines.
    pub(super) fn join_equal(&self, lines: &mut OutgoingLines, arrived: &FieldLines) {
        for judged in self.judged.iter().filter(|judged| judged.is_one) {
            if arrived.get_all(&judged.name).nth(1).is_some()
                && let Some(value) = lines.get(&judged.name).map(<[u8]>::to_vec)
            {
                lines.set(&judged.name, &value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::fixture::{source, template};
    use crate::delivery::source::Source;
    use hookward_verify::scheme::TimeFormat;
    use http::{HeaderMap, HeaderValue};

    /// Reads headers in every place that a scheme has for them.
    fn reader() -> Source {
        source("webhook-signature")
            .with_rule(|rule| {
                rule.signed = template("{header:webhook-id}.{lower:header:x-signed}.{body}");
                rule.require = vec![(HeaderName::from_static("x-version"), "1".to_owned())];
            })
            .with_timestamp("header:webhook-timestamp", TimeFormat::Unix)
            .with_id(&["header:webhook-id", "json:/id"])
            .with_type(&["header:x-topic"])
    }

    const READ: [&str; 6] = [
        "webhook-signature",
        "webhook-id",
        "x-signed",
        "x-version",
        "webhook-timestamp",
        "x-topic",
    ];

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn lines(of: &[(&str, &str)]) -> FieldLines {
        FieldLines::from(&headers(of))
    }

    fn takes(passing: &Passing, name: &str, trusted: bool) -> bool {
        let circumstances = Circumstances { trusted, traced: true };
        passing.takes(name, &folded(name), circumstances)
    }

    #[test]
    fn of_names_that_a_receiver_reads_alike_the_judged_one_goes_on() {
        let passing = Passing::of(&reader().sender.scheme, &[]);
        for name in READ {
            assert!(takes(&passing, name, false), "{name}");
            // Every sign that a token may have, RFC 9110 section 5.6.2.
            for sign in "!#$%&'*+.^_`|~".chars() {
                for trusted in [false, true] {
                    let alike = name.replace('-', &sign.to_string());
                    assert!(!takes(&passing, &alike, trusted), "{alike}");
                    let alike = name.replacen('-', &sign.to_string(), 1);
                    assert!(!takes(&passing, &alike, trusted), "{alike}");
                }
            }
        }
        for other in ["webhookid", "webhook-id2", "webhook--id", "x-other", "x_other", "cookie"] {
            assert!(takes(&passing, other, false), "{other}");
        }
    }

    #[test]
    fn nothing_that_looks_like_ours_or_like_framing_goes_on() {
        let passing = Passing::of(&reader().sender.scheme, &[]);
        for name in [
            "hookward-source",
            "hookward_event_id",
            "hookward.event.type",
            "idempotency_key",
            "idempotency~key",
            "traceparent",
            "x_forwarded_for",
            "x.forwarded.proto",
            "x_forwarded_host",
            "x_forwarded_port",
            "host",
            "content_length",
            "content_type",
            "content.encoding",
            "proxy",
        ] {
            for trusted in [false, true] {
                assert!(!takes(&passing, name, trusted), "{name}");
            }
        }
        let mut kept = OutgoingLines::default();
        crate::delivery::headers::take_over(
            &mut kept,
            &lines(&[("transfer_encoding", "chunked"), ("keep_alive", "1"), ("x-kept", "1")]),
            |name, folded| {
                passing.takes(name, folded, Circumstances { trusted: true, traced: true })
            },
        );
        assert_eq!(kept.as_bytes(), b"X-Kept: 1\r\n");
    }

    #[test]
    fn instructions_of_strangers_are_withheld_unless_the_source_lets_them_pass() {
        let method = HeaderName::from_static("x-http-method-override");
        let (closed, open) = (
            Passing::of(&reader().sender.scheme, &[]),
            Passing::of(&reader().sender.scheme, std::slice::from_ref(&method)),
        );
        for name in INSTRUCTIONS {
            assert!(!takes(&closed, name, true), "{name}");
            assert!(!takes(&closed, &name.replace('-', "_"), false), "{name}");
            assert_eq!(takes(&open, name, false), name == method, "{name}");
        }
        assert!(!takes(&open, "x_http_method_override", false));
        for name in SAID_BY_PROXIES.into_iter().chain(["forwarded", "x-forwarded-port"]) {
            assert!(!takes(&closed, name, false), "{name}");
            assert!(takes(&closed, name, true), "{name}");
        }
        // What a sender signs or names its event by is its own word.
        let signs_it = source("X-Original-URL").with_id(&["header:X-Real-IP"]);
        let passing = Passing::of(&signs_it.sender.scheme, &[]);
        assert!(takes(&passing, "x-original-url", false) && takes(&passing, "x-real-ip", false));
    }

    #[test]
    fn a_connection_that_names_what_the_scheme_reads_is_refused() {
        let passing = Passing::of(&reader().sender.scheme, &[]);
        for name in READ {
            for line in [
                name.to_owned(),
                name.to_ascii_uppercase(),
                name.replace('-', "_"),
                format!("keep-alive,{name} , x"),
            ] {
                let lines = lines(&[("connection", "close"), ("connection", &line)]);
                let refused = passing.judge_connection(&lines).unwrap_err();
                assert_eq!(refused.reason, Reason::BadRequest, "{line}");
            }
        }
        let usual = lines(&[("connection", "keep-alive, TE, Upgrade, x-other, content-type")]);
        assert!(passing.judge_connection(&usual).is_ok());
    }

    #[test]
    fn equal_lines_that_were_judged_as_one_go_on_as_one() {
        let passing = Passing::of(&reader().sender.scheme, &[]);
        let lines = headers(&[
            ("webhook-id", "a"),
            ("webhook-id", "a"),
            ("webhook-signature", "v1"),
            ("webhook-signature", "v1"),
            ("x-other", "b"),
            ("x-other", "b"),
        ]);
        let mut joined = OutgoingLines::from(&lines);
        passing.join_equal(&mut joined, &FieldLines::from(&lines));
        let lines = HeaderMap::from(&joined);
        assert_eq!(lines.get_all("webhook-id").iter().count(), 1);
        // Each of them was judged, and each may be the one that holds.
        assert_eq!(lines.get_all("webhook-signature").iter().count(), 2);
        assert_eq!(lines.get_all("x-other").iter().count(), 2);
    }

    #[test]
    fn a_form_and_a_handshake_are_read_from_headers_too() {
        let mut form = source("x-sig").with_rule(|rule| rule.signed = template("{url}{form}"));
        form.sender.scheme.handshake = Some(hookward_verify::scheme::Handshake {
            kind: hookward_verify::scheme::HandshakeKind::Asana,
            verify_token: None,
        });
        assert_eq!(form.sender.scheme.headers(), ["x-sig", "content-type", "x-hook-secret"]);
        let passing = Passing::of(&form.sender.scheme, &[]);
        assert!(!takes(&passing, "x_hook_secret", false));
        let named = lines(&[("connection", "content-type")]);
        assert!(passing.judge_connection(&named).is_err());
    }
}
