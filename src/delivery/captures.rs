//! Refused deliveries, kept completely for `explain`: in memory, bounded, never logged.
//!
//! A source with `capture` keeps its last ones. All together take at most [`MOST_BYTES`]; beyond
//! that the oldest go first, whatever their source. The header that a `token` scheme compares is
//! masked, because it may be the secret.

use crate::delivery::source::{Source, SourceName};
use crate::outcome::Reason;
use crate::request::RequestHead;
use bytes::{BufMut as _, Bytes, BytesMut};
use hookward_time::UnixMillis;
use hookward_verify::scheme::{Algorithm, Place};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// The most memory of all captures together.
pub const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The memory of a capture in addition to its text.
const OVERHEAD_BYTES: usize = 256;

/// Replaces a header's masked value.
pub const MASK: &str = "(masked)";

/// A refused delivery.
#[derive(Debug)]
pub struct Capture {
    /// Tells captures of a process apart; a later one has a higher number.
    pub id: u64,
    /// When it arrived.
    pub at: UnixMillis,
    /// Why it was refused.
    pub reason: Reason,
    /// The sender's address.
    pub client: IpAddr,
    /// The size of the body, which is 0 where none was read.
    pub body_bytes: usize,
    /// The request: head, an empty line, the body byte for byte.
    pub message: Bytes,
}

#[derive(Debug, Default)]
struct CaptureRing {
    count: u64,
    bytes: usize,
    by_source: HashMap<SourceName, VecDeque<Arc<Capture>>>,
}

/// The captures of a process.
#[derive(Debug, Default)]
pub struct CapturedRefusals(Mutex<CaptureRing>);

impl CapturedRefusals {
    /// Keeps a request that was refused, if its source asks for it and there is room for it at all.
    pub fn take(
        &self,
        source: &Source,
        head: &RequestHead,
        body: &[u8],
        at: UnixMillis,
        reason: Reason,
    ) {
        if source.capture == 0 {
            return;
        }
        let message = message(source, head, body);
        let size = message.len() + OVERHEAD_BYTES;
        if size > MOST_BYTES {
            return;
        }
        let mut kept = self.0.lock();
        kept.count += 1;
        kept.bytes += size;
        let id = kept.count;
        let (client, body_bytes) = (head.client, body.len());
        let capture = Arc::new(Capture { id, at, reason, client, body_bytes, message });
        kept.by_source.entry(source.name.clone()).or_default().push_back(capture);
        kept.trim(&source.name, source.capture);
        while kept.bytes > MOST_BYTES {
            kept.drop_oldest();
        }
    }

    /// Those of a source, newest first.
    #[must_use]
    pub fn of(&self, source: &str) -> Vec<Arc<Capture>> {
        let kept = self.0.lock();
        kept.by_source.get(source).into_iter().flatten().rev().map(Arc::clone).collect()
    }

    /// Keeps no more than the sources ask for now.
    pub fn keep_for<'a>(&self, sources: impl Iterator<Item = &'a Source>) {
        let wanted: HashMap<&str, usize> =
            sources.map(|source| (source.name.as_str(), source.capture)).collect();
        let mut kept = self.0.lock();
        let names: Vec<SourceName> = kept.by_source.keys().cloned().collect();
        for name in names {
            let most = wanted.get(name.as_str()).copied().unwrap_or(0);
            kept.trim(&name, most);
        }
        kept.by_source.retain(|_, captures| !captures.is_empty());
    }
}

impl CaptureRing {
    fn trim(&mut self, source: &SourceName, most: usize) {
        let Some(captures) = self.by_source.get_mut(source) else { return };
        while captures.len() > most {
            if let Some(gone) = captures.pop_front() {
                self.bytes = self.bytes.saturating_sub(gone.message.len() + OVERHEAD_BYTES);
            }
        }
    }

    fn drop_oldest(&mut self) {
        let fronts = self.by_source.iter().filter_map(|(name, c)| Some((c.front()?.id, name)));
        let Some((_, name)) = fronts.min_by_key(|(id, _)| *id) else {
            self.bytes = 0;
            return;
        };
        let name = name.clone();
        let left = self.by_source.get(&name).map_or(0, |captures| captures.len() - 1);
        self.trim(&name, left);
    }
}

/// The request as `message/http`.
fn message(source: &Source, head: &RequestHead, body: &[u8]) -> Bytes {
    let lines: usize = head.headers.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
    let mut text = BytesMut::with_capacity(head.path.len() + 256 + lines + body.len());
    text.put_slice(head.method.as_str().as_bytes());
    text.put_slice(b" ");
    text.put_slice(head.path.as_bytes());
    if let Some(query) = &head.query {
        text.put_slice(b"?");
        text.put_slice(without_verify_token(query).as_bytes());
    }
    text.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in head.headers.iter() {
        // In lower case, whichever version of HTTP they came over.
        text.extend(name.iter().map(u8::to_ascii_lowercase));
        text.put_slice(b": ");
        let shown = if is_token(source, name) { MASK.as_bytes() } else { value };
        text.put_slice(shown);
        text.put_slice(b"\r\n");
    }
    text.put_slice(b"\r\n");
    text.put_slice(body);
    text.freeze()
}

/// Whether a header is compared with the secret itself.
fn is_token(source: &Source, name: &[u8]) -> bool {
    let rule = &source.sender.scheme.signature;
    let mut places = rule.places.iter().flat_map(Place::singles);
    rule.algorithm == Algorithm::Token
        && places.any(|place| match place {
            Place::Header(header) => header.as_str().as_bytes().eq_ignore_ascii_case(name),
            _ => false,
        })
}

/// Meta's handshake brings the verify token in the query.
fn without_verify_token(query: &str) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name @ ("hub.verify_token" | "hub%2Everify_token"), _)) => format!("{name}={MASK}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field_lines::FieldLines;
    use crate::senders::discover::preset_source;
    use http::{HeaderName, Method};

    fn source(name: &str, preset: &'static str, capture: usize) -> Source {
        let mut source = preset_source(preset, "/a", None).unwrap();
        source.name = name.into();
        source.capture = capture;
        source
    }

    fn head() -> RequestHead {
        let mut headers = FieldLines::default();
        headers.push(&HeaderName::from_static("x-gitlab-token"), &"the-secret".parse().unwrap());
        RequestHead {
            method: Method::POST,
            path: "/a".to_owned(),
            query: Some("b=c&hub.verify_token=d".to_owned()),
            headers,
            client: "203.0.113.7".parse().unwrap(),
            via: None,
            ignored_forwarding: false,
            host: String::new(),
            secure: false,
        }
    }

    fn refuse(captures: &CapturedRefusals, source: &Source, body: &[u8]) {
        captures.take(source, &head(), body, UnixMillis(0), Reason::SignatureMismatch);
    }

    #[test]
    fn a_source_keeps_as_many_as_it_asks_for_newest_first() {
        let captures = CapturedRefusals::default();
        let shop = source("shop", "github", 2);
        for body in [b"1", b"2", b"3"] {
            refuse(&captures, &shop, body);
        }
        refuse(&captures, &source("other", "github", 0), b"x");
        let ids: Vec<u64> = captures.of("shop").iter().map(|capture| capture.id).collect();
        assert_eq!((ids, captures.of("other").len()), (vec![3, 2], 0));
        captures.keep_for([source("shop", "github", 1)].iter());
        assert_eq!(captures.of("shop").len(), 1);
        captures.keep_for(std::iter::empty());
        assert_eq!((captures.of("shop").len(), captures.0.lock().bytes), (0, 0));
    }

    #[test]
    fn together_they_take_no_more_than_their_bound_and_the_oldest_go_first() {
        let captures = CapturedRefusals::default();
        let (one, two) = (source("one", "github", 100), source("two", "github", 100));
        let body = vec![b'x'; MOST_BYTES / 4];
        refuse(&captures, &one, &body);
        for _ in 0..3 {
            refuse(&captures, &two, &body);
        }
        assert_eq!((captures.of("one").len(), captures.of("two").len()), (0, 3));
        refuse(&captures, &one, &vec![b'x'; MOST_BYTES]);
        assert_eq!(captures.of("one").len(), 0, "what is too large is not kept at all");
        assert!(captures.0.lock().bytes <= MOST_BYTES);
    }

    #[test]
    fn what_is_compared_with_the_secret_is_masked() {
        let captures = CapturedRefusals::default();
        refuse(&captures, &source("gitlab", "gitlab", 1), b"{}");
        let message = captures.of("gitlab").remove(0).message.clone();
        let expected =
            "POST /a?b=c&hub.verify_token=(masked) HTTP/1.1\r\nx-gitlab-token: (masked)\r\n\r\n{}";
        assert_eq!(message, expected);
    }
}
