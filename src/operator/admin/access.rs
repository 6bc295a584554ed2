//! Access control of the admin listener.

use super::{Reply, fault, unauthorized};
use crate::request::RequestHead;
use hookward_secret::Secret;
use http::header::{AUTHORIZATION, ORIGIN};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// The refusal of a request without access: it lacks the bearer token or, if there is none because
/// the listener is on a loopback address, it uses a host name that is not this machine's.
pub(super) fn check(token: Option<&Secret>, head: &RequestHead) -> Option<Reply> {
    match token {
        Some(token) => (!presents(head, token)).then(unauthorized),
        None if !is_local_name(&head.host) => {
            Some(fault(403, "use the address of this listener, or localhost, as the host"))
        }
        // A browser that names another page acts on behalf of that page.
        None if !comes_from_here(head) => {
            Some(fault(403, "another page in a browser may not use this listener"))
        }
        None => None,
    }
}

/// Whether the request comes from no page, or from this listener's own page.
fn comes_from_here(head: &RequestHead) -> bool {
    head.headers.get_all(ORIGIN).iter().all(|origin| {
        let host = origin.as_bytes().strip_prefix(b"http://");
        host.is_some_and(|host| host.eq_ignore_ascii_case(head.host.as_bytes()))
    })
}

fn presents(head: &RequestHead, token: &Secret) -> bool {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some((scheme, presented)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
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
    use http::{HeaderMap, Method};

    fn head(host: &str, authorization: &[&str]) -> RequestHead {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
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

    #[test]
    fn with_a_token_exactly_that_token_opens() {
        let token = Secret::from("correct-horse".to_owned());
        for (authorization, status) in [
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
            let met =
                check(Some(&token), &head("evil.example", authorization)).map_or(0, |r| r.status);
            assert_eq!(met, status, "{authorization:?}");
        }
    }

    #[test]
    fn without_a_token_no_page_but_our_own_may_ask() {
        for (origin, status) in [
            ("http://127.0.0.1:9090", 0),
            ("http://127.0.0.1:9091", 403),
            ("https://127.0.0.1:9090", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let mut head = head("127.0.0.1:9090", &[]);
            head.headers.insert(ORIGIN, origin.parse().unwrap());
            assert_eq!(check(None, &head).map_or(0, |reply| reply.status), status, "{origin}");
        }
    }

    #[test]
    fn without_a_token_the_host_must_be_one_that_nobody_else_can_point_here() {
        for (host, status) in [
            ("127.0.0.1:9090", 0),
            ("127.0.0.1", 0),
            ("[::1]:9090", 0),
            ("localhost:9090", 0),
            ("LOCALHOST", 0),
            ("evil.example:9090", 403),
            ("localhost.evil.example", 403),
            ("", 403),
        ] {
            let met = check(None, &head(host, &[])).map_or(0, |reply| reply.status);
            assert_eq!(met, status, "{host}");
        }
    }
}
