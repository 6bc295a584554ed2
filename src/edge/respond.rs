//! Writes answers as bytes to a connection.
//!
//! It handles framing, the headers of every answer and the problem document of a refusal. It
//! decides nothing: status, title and wait come from [`crate::outcome`].

use crate::delivery::answer::{Answer, Conclusion};
use crate::outcome::{Reason, Refusal};
use crate::upstream::ReplyBody;
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

const OUTCOME: HeaderName = HeaderName::from_static("hookward-outcome");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a listener sends back: an [`Answer`] with everything written out.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) status: u16,
    /// All but framing and `Date`.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: ReplyBody,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let outcome = answer.outcome();
        let Answer { conclusion, headers, body, is_bare } = answer;
        let mut reply = match conclusion {
            Conclusion::Refused(refusal) if is_bare => {
                let mut reply =
                    Self { headers, ..Self::problem(&refusal) }.with_problem_headers(&refusal);
                reply.headers.remove(CONTENT_TYPE);
                reply.body = ReplyBody::Whole(Bytes::new());
                reply
            }
            Conclusion::Refused(refusal) => {
                Self { headers, ..Self::problem(&refusal) }.with_problem_headers(&refusal)
            }
            Conclusion::Good { status, .. } => Self { status, headers, body },
        };
        reply.headers.insert(OUTCOME, HeaderValue::from_static(outcome.label()));
        reply
    }
}

impl Reply {
    /// The problem document of a refusal, without an outcome.
    pub(crate) fn problem(refusal: &Refusal) -> Self {
        let facets = refusal.reason.facets();
        let problem = Problem {
            kind: "about:blank",
            title: facets.title,
            status: refusal.status(),
            reason: facets.label,
        };
        // Strings and numbers serialise; an empty body would be all that is lost.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self {
            status: problem.status,
            headers: HeaderMap::new(),
            body: ReplyBody::Whole(Bytes::from(body)),
        }
        .with_problem_headers(refusal)
    }

    fn with_problem_headers(mut self, refusal: &Refusal) -> Self {
        self.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        let facets = refusal.reason.facets();
        let wait = match (&refusal.retry_after, facets.retry_after_seconds) {
            (Some(text), _) => HeaderValue::try_from(text).ok(),
            (None, Some(seconds)) => Some(HeaderValue::from(seconds)),
            (None, None) => None,
        };
        if let Some(wait) = wait {
            self.headers.insert(RETRY_AFTER, wait);
        }
        if refusal.reason == Reason::MethodNotAllowed {
            self.headers.entry(ALLOW).or_insert(HeaderValue::from_static("POST"));
        }
        self
    }
}

/// RFC 9457, with `reason` as its extension member.
#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
}

/// The facts about a request that determine the framing of its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    version: Version,
    is_head: bool,
}

impl Framing {
    /// For a request that could not be read.
    pub(super) const UNKNOWN: Self = Self { version: Version::HTTP_11, is_head: false };

    /// For the request with this head.
    pub(super) fn of(head: &RequestHeader) -> Self {
        Self { version: head.version, is_head: head.method == Method::HEAD }
    }
}

/// The answer was not written completely; the connection is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsent;

/// Writes an answer whole; each single write may take `limit`.
pub(super) async fn write(
    session: &mut ServerSession,
    reply: Reply,
    framing: Framing,
    limit: Duration,
) -> Result<(), Unsent> {
    let Reply { status, mut headers, body } = reply;
    let declared = headers.remove(CONTENT_LENGTH);
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, TE, TRAILER] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
    let may_have_body = status != 204 && status != 304;
    let has_body = may_have_body && !framing.is_head;
    match &body {
        _ if !may_have_body => {}
        ReplyBody::Whole(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        ReplyBody::Streamed { .. } => match declared {
            Some(length) => {
                headers.insert(CONTENT_LENGTH, length);
            }
            None if framing.version == Version::HTTP_11 => {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            // HTTP/2 frames by itself; for HTTP/1.0 the end is the end of the connection.
            None => {}
        },
    }

    let mut head = ResponseHeader::build(status, Some(headers.len() + 2)).map_err(|_| Unsent)?;
    for (name, value) in &headers {
        // HTTP/1 does not mind the case, but people who read along do.
        let appended = match name {
            _ if *name == OUTCOME => head.append_header("Hookward-Outcome", value.clone()),
            _ if *name == RETRY_AFTER => head.append_header("Retry-After", value.clone()),
            _ => head.append_header(name.clone(), value.clone()),
        };
        appended.map_err(|_| Unsent)?;
    }
    within(limit, session.write_response_header(Box::new(head))).await?;
    match body {
        ReplyBody::Whole(bytes) => {
            let bytes = if has_body { bytes } else { Bytes::new() };
            within(limit, session.write_response_body(bytes, true)).await
        }
        ReplyBody::Streamed { first, mut rest } => {
            if !has_body {
                return within(limit, session.write_response_body(Bytes::new(), true)).await;
            }
            within(limit, session.write_response_body(first, false)).await?;
            while let Some(piece) = rest.recv().await {
                // An upstream that breaks off must not look like one that was finished.
                let piece = piece.map_err(|_| Unsent)?;
                within(limit, session.write_response_body(piece, false)).await?;
            }
            within(limit, session.write_response_body(Bytes::new(), true)).await
        }
    }
}

async fn within<T>(
    limit: Duration,
    write: impl Future<Output = pingora::Result<T>>,
) -> Result<T, Unsent> {
    match timeout(limit, write).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(_)) | Err(_) => Err(Unsent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::answer::Success;

    fn text(reply: &Reply) -> String {
        match &reply.body {
            ReplyBody::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            ReplyBody::Streamed { .. } => panic!("streamed"),
        }
    }

    #[test]
    fn a_refusal_is_a_problem_document_with_its_reason() {
        let reply = Reply::from(Answer::refused(Refusal::because(Reason::BadRequest, "secret")));
        assert_eq!(reply.status, 400);
        assert_eq!(reply.headers[OUTCOME], "rejected");
        assert_eq!(reply.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            text(&reply),
            r#"{"type":"about:blank","title":"The request is not well-formed HTTP.","status":400,"reason":"bad_request"}"#
        );
    }

    #[test]
    fn the_wait_is_the_refusals_else_the_reasons() {
        let wait = |refusal: Refusal| {
            let reply = Reply::from(Answer::refused(refusal));
            reply.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(wait(Refusal::new(Reason::Overloaded)).as_deref(), Some("1"));
        let longer = Refusal::new(Reason::Uncertain).retry_after(Duration::from_secs(30));
        assert_eq!(wait(longer).as_deref(), Some("30"));
        assert_eq!(wait(Refusal::new(Reason::SignatureMismatch)), None);
    }

    #[test]
    fn who_may_not_use_a_method_is_told_which_one() {
        let reply = Reply::from(Answer::refused(Refusal::new(Reason::MethodNotAllowed)));
        assert_eq!(reply.headers[ALLOW], "POST");
        let mut answer = Answer::refused(Refusal::new(Reason::MethodNotAllowed));
        answer.headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        assert_eq!(Reply::from(answer).headers[ALLOW], "GET, POST");
    }

    #[test]
    fn a_bare_answer_is_a_status_and_what_a_retry_needs() {
        let mut good = Answer::empty(Success::Delivered, 204);
        good.headers.insert("set-cookie", HeaderValue::from_static("a=b"));
        good.body = ReplyBody::Whole(Bytes::from_static(b"ok"));
        let reply = Reply::from(good.bare());
        assert_eq!((reply.status, text(&reply).as_str(), reply.headers.len()), (200, "", 1));
        assert_eq!(reply.headers[OUTCOME], "delivered");
        let reply = Reply::from(Answer::refused(Reason::SignatureMismatch.into()).bare());
        assert_eq!((reply.status, text(&reply).as_str(), reply.headers.len()), (401, "", 1));
        let reply = Reply::from(Answer::refused(Reason::Overloaded.into()).bare());
        assert_eq!((reply.status, text(&reply).as_str()), (503, ""));
        assert_eq!((&reply.headers[RETRY_AFTER], reply.headers.len()), (&"1".parse().unwrap(), 2));
    }

    #[test]
    fn a_good_end_keeps_status_headers_and_body() {
        let mut answer = Answer::empty(Success::Delivered, 202);
        answer.headers.insert("x-a", HeaderValue::from_static("b"));
        answer.headers.insert(OUTCOME, HeaderValue::from_static("forged"));
        answer.body = ReplyBody::Whole(Bytes::from_static(b"ok"));
        let reply = Reply::from(answer);
        assert_eq!((reply.status, text(&reply).as_str()), (202, "ok"));
        assert_eq!(reply.headers["x-a"], "b");
        assert_eq!(reply.headers.get_all(OUTCOME).iter().count(), 1);
        assert_eq!(reply.headers[OUTCOME], "delivered");
    }
}
