//! Access control of the admin listener.

use super::reply::{fault, unauthorized};
use crate::config::AdminToken;
use crate::edge::HttpReply;
use crate::request::RequestHead;
use hookward_secret::Secret;
use http::Method;
use http::header::{AUTHORIZATION, ORIGIN};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Who asks, for audit lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its address.
    pub client: IpAddr,
    /// The name of the token that it presented; `None` where none is asked for.
    pub token: Option<String>,
    /// Whether that token opens only what changes nothing.
    pub is_read_only: bool,
}

/// Who asks.
///
/// # Errors
/// The refusal of a request that may not be answered: without a bearer token, or with one that
/// may not do that; or, where there is none because the listener is on a loopback address, by a name
/// that is not this machine's.
pub(super) fn admit(tokens: &[AdminToken], head: &RequestHead) -> Result<Caller, Box<HttpReply>> {
    let client = head.client;
    if tokens.is_empty() {
        if !is_local_name(&head.host) {
            return Err(refused("use the address of this listener, or localhost, as the host"));
        }
        // A browser that names another page acts on behalf of that page.
        if !comes_from_here(head) {
            return Err(refused("another page in a browser may not use this listener"));
        }
        return Ok(Caller { client, token: None, is_read_only: false });
    }
    let mut presented = None;
    // All are looked at, so that the time says nothing about which one it was.
    for token in tokens {
        if presents(head, &token.secret) {
            presented = Some(token);
        }
    }
    let AdminToken { name, is_read_only, .. } =
        presented.ok_or_else(|| Box::new(unauthorized()))?;
    if *is_read_only && ![Method::GET, Method::HEAD].contains(&head.method) {
        let title = format!("the token `{name}` may only read: it cannot change anything");
        return Err(refused(&title));
    }
    Ok(Caller { client, token: Some(name.clone()), is_read_only: *is_read_only })
}

fn refused(title: &str) -> Box<HttpReply> {
    Box::new(fault(403, title))
}

/// Whether the request comes from no page, or from this listener's own page.
fn comes_from_here(head: &RequestHead) -> bool {
    head.headers.get_all(ORIGIN).all(|origin| {
        let host = origin.strip_prefix(b"http://");
        host.is_some_and(|host| host.eq_ignore_ascii_case(head.host.as_bytes()))
    })
}

fn presents(head: &RequestHead, token: &Secret) -> bool {
    let mut values = head.headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some((scheme, presented)) = value.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ")
        && bool::from(presented.trim_ascii().ct_eq(token.expose()))
}

/// Whether no one else can make this name resolve to us.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_lines::FieldLines;
    use http::Method;

    fn head(host: &str, authorization: &[&str]) -> RequestHead {
        let mut headers = FieldLines::default();
        for value in authorization {
            headers.push(&AUTHORIZATION, &value.parse().unwrap());
        }
        RequestHead {
            method: Method::GET,
            path: "/status".to_owned(),
            query: None,
            headers,
            client: "127.0.0.1".parse().unwrap(),
            via: None,
            ignored_forwarding: false,
            host: host.to_owned(),
            secure: false,
        }
    }

    fn token(name: &str, secret: &str, is_read_only: bool) -> AdminToken {
        AdminToken { name: name.to_owned(), secret: Secret::from(secret), is_read_only }
    }

    fn status(tokens: &[AdminToken], head: &RequestHead) -> u16 {
        admit(tokens, head).err().map_or(0, |refused| refused.status)
    }

    #[test]
    fn a_token_has_a_name_and_one_that_may_only_read_changes_nothing() {
        let tokens = [token("ana", "correct-horse", false), token("grafana", "battery", true)];
        for (secret, method, expected) in [
            ("correct-horse", Method::GET, Ok(("ana", false))),
            ("correct-horse", Method::POST, Ok(("ana", false))),
            ("battery", Method::GET, Ok(("grafana", true))),
            ("battery", Method::HEAD, Ok(("grafana", true))),
            ("battery", Method::POST, Err(403)),
            ("battery", Method::DELETE, Err(403)),
            ("battery", Method::PUT, Err(403)),
            ("staple", Method::GET, Err(401)),
            ("staple", Method::POST, Err(401)),
        ] {
            let mut head = head("evil.example", &[&format!("Bearer {secret}")]);
            head.method = method.clone();
            let met = admit(&tokens, &head).map_err(|refused| refused.status);
            let expected = expected.map(|(name, is_read_only): (&str, bool)| Caller {
                client: head.client,
                token: Some(name.to_owned()),
                is_read_only,
            });
            assert_eq!(met, expected, "{secret} {method}");
        }
    }

    #[test]
    fn with_a_token_exactly_that_token_opens() {
        let tokens = [token("token", "correct-horse", false)];
        for (authorization, expected) in [
            (&["Bearer correct-horse"][..], 0),
            (&["bearer correct-horse"], 0),
            (&["Bearer correct-hors"], 401),
            (&["Bearer correct-horse-"], 401),
            (&["Bearer "], 401),
            (&["Bearer"], 401),
            (&["Basic correct-horse"], 401),
            (&["correct-horse"], 401),
            (&["Bearer wrong", "Bearer correct-horse"], 401),
            (&[], 401),
        ] {
            let met = status(&tokens, &head("evil.example", authorization));
            assert_eq!(met, expected, "{authorization:?}");
        }
    }

    #[test]
    fn without_a_token_no_page_but_our_own_may_ask() {
        for (origin, expected) in [
            ("http://127.0.0.1:9090", 0),
            ("http://127.0.0.1:9091", 403),
            ("https://127.0.0.1:9090", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let mut head = head("127.0.0.1:9090", &[]);
            head.headers.set(&ORIGIN, &origin.parse().unwrap());
            assert_eq!(status(&[], &head), expected, "{origin}");
        }
    }

    #[test]
    fn without_a_token_the_host_must_be_one_that_nobody_else_can_point_here() {
        for (host, expected) in [
            ("127.0.0.1:9090", 0),
            ("127.0.0.1", 0),
            ("[::1]:9090", 0),
            ("localhost:9090", 0),
            ("LOCALHOST", 0),
            ("evil.example:9090", 403),
            ("localhost.evil.example", 403),
            ("", 403),
        ] {
            assert_eq!(status(&[], &head(host, &[])), expected, "{host}");
        }
    }
}
