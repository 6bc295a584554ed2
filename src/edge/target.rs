//! What a request asks for: the forms of a target, and the host.

use super::malformed::bad;
use crate::outcome::Refusal;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};

/// The path and the query of a request target, which may be a URL of this host; `head` holds both.
///
/// # Errors
/// `bad_request`.
pub(super) fn judge_target(
    head: &Bytes,
    target: &[u8],
    host: &str,
) -> Result<(String, Option<String>), Refusal> {
    let target = judge_target_bytes(target)?;
    let local = if target.starts_with('/') {
        target
    } else {
        let rest = strip_scheme(target)
            .ok_or_else(|| bad("the request target is neither a path nor an http URL"))?;
        let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // Byte for byte: receivers differ about case here.
        if authority != host || authority.is_empty() {
            return Err(bad("the request target names another host than Host"));
        }
        local
    };
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (local, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    // What this one refuses could not be sent on.
    let rooted = if local.starts_with('/') {
        head.slice_ref(local.as_bytes())
    } else {
        Bytes::from(format!("/{local}"))
    };
    if PathAndQuery::from_maybe_shared(rooted).is_err() {
        return Err(bad("the request target is not one to a second parser"));
    }
    Ok((path.to_owned(), query))
}

/// A target of characters that every receiver takes.
///
/// Other bytes have to be percent-encoded in a URL (RFC 3986 section 2). Node and PHP refuse what is not
/// ASCII, Puma and Tomcat `"`, `<` and `>`, all of which every client encodes that follows the URL
/// standard. Passed on, such a delivery would be refused as often as it is retried. A fragment is never
/// sent. The rest of what RFC 3986 leaves out (`[]\^{|}` and the backtick) is in use and passes.
///
/// # Errors
/// `bad_request`.
pub(super) fn judge_target_bytes(target: &[u8]) -> Result<&str, Refusal> {
    let passes = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
    match std::str::from_utf8(target) {
        Ok(text) if target.iter().all(passes) => Ok(text),
        _ => Err(bad("the request target has a character that must be percent-encoded")),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

/// `Host` or `:authority`: a name or an address, perhaps with a port, and no user.
///
/// # Errors
/// `bad_request`.
pub(super) fn judge_host(value: Bytes) -> Result<String, Refusal> {
    let authority = Authority::from_maybe_shared(value)
        .map_err(|_| bad("Host is not a host with an optional port"))?;
    if authority.as_str().contains('@') {
        return Err(bad("Host names a user"));
    }
    Ok(authority.as_str().to_owned())
}
